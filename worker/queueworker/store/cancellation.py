"""Cancellation of jobs: one, many, and what a worker has to stop."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from queueworker.statements import statement
from queueworker.store.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelCount:
    """How many jobs of a task are in a state."""

    task: str
    state: str
    jobs: int


class Cancellation(Session):
    """Statements about jobs that shall not run."""

    async def job_cancel(self, job_id: int) -> str | None:
        """Cancel a job; give what it was: ready, scheduled or running, None when it has ended."""
        was: str | None = await self.fetch_value(statement("job_cancel"), {"job_id": job_id})
        return was

    async def job_cancel_many(self, queue: str, task: str | None) -> int:
        """Cancel a batch of jobs of a queue; give how many."""
        parameters = {"queue": queue, "task": task}
        return int(await self.fetch_value(statement("job_cancel_many"), parameters))

    async def job_cancel_count(self, queue: str, task: str | None) -> list[CancelCount]:
        """Count what that would cancel."""
        parameters = {"queue": queue, "task": task}
        return await self.rows_of(CancelCount, statement("job_cancel_count"), parameters)

    async def cancelled_runs(self, worker_id: UUID, stopped: Sequence[int]) -> list[int]:
        """Give the jobs that this worker has to stop; forget those that it has stopped."""
        parameters = {"worker_id": worker_id, "stopped": list(stopped)}
        rows = await self.fetch(statement("cancelled_runs"), parameters)
        return [job_id for (job_id,) in rows]
