"""What the command line asks of the database: queues, retention, lag."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from queueworker.statements import statement
from queueworker.store.dead import DeadLetters
from queueworker.store.lag import LagRow, WorkerStateRow
from queueworker.store.rows import QueueRow, QueueSummary, Retention, Upkeep


class Administration(DeadLetters):
    """Rare statements; none of them stands in a worker's hot path."""

    async def queue(self, name: str) -> QueueRow:
        """Find a queue; create its row at first use."""
        rows = await self.rows_of(QueueRow, statement("queue_ensure"), {"queue": name})
        return rows[0]

    async def queue_create(self, name: str) -> QueueRow:
        """Give a queue a partition of its own; its jobs move there and keep their positions."""
        await self.fetch(statement("queue_create"), {"queue": name})
        return await self.queue(name)

    async def queue_names(self) -> list[str]:
        """List the names of all queues."""
        return [name for (name,) in await self.fetch(statement("queue_names"), {})]

    async def queue_list(self) -> list[QueueSummary]:
        """List all queues with their counts."""
        return await self.rows_of(QueueSummary, statement("queue_list"), {})

    async def queue_pause(self, name: str) -> bool:
        """Stop claims from a queue; give whether it exists."""
        return bool(await self.fetch_value(statement("queue_pause"), _pause(name, paused=True)))

    async def queue_resume(self, name: str) -> bool:
        """Allow claims from a queue again; give whether it exists."""
        return bool(await self.fetch_value(statement("queue_pause"), _pause(name, paused=False)))

    async def queue_retain(self, name: str, retention: Retention) -> bool:
        """Set how long a queue keeps what; give whether it exists."""
        parameters = {
            "queue": name,
            "finished_s": retention.finished_s,
            "dead_s": retention.dead_s,
            "failures_s": retention.failures_s,
        }
        return bool(await self.fetch_value(statement("queue_retain"), parameters))

    async def maintain(self, *, at_once: bool = False) -> Upkeep | None:
        """Make partitions ahead and remove what is too old; None when it is not due."""
        rows = await self.rows_of(Upkeep, statement("maintain"), {"at_once": at_once})
        return rows[0] if rows else None

    async def lag(self, queues: Sequence[str]) -> list[LagRow]:
        """Read the lag of the queues that exist."""
        rows = await self.rows_of(LagRow, statement("lag"), {"queues": list(queues)})
        return [replace(row, ready_by_task=_decoded(row.ready_by_task)) for row in rows]

    async def worker_state(self, queues: Sequence[str]) -> list[WorkerStateRow]:
        """List the live workers of these queues."""
        return await self.rows_of(
            WorkerStateRow, statement("worker_state"), {"queues": list(queues)}
        )


def _decoded(value: Mapping[str, int] | bytes) -> Mapping[str, int]:
    # A worker's connection leaves jsonb as bytes; a plain one decodes it.
    return json.loads(value) if isinstance(value, bytes) else value


def _pause(name: str, *, paused: bool) -> dict[str, object]:
    return {"queue": name, "paused": paused}
