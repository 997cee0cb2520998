"""What a handler may ask for: a first parameter annotated `ctx: Context`."""

import time
from collections.abc import Awaitable, Callable
from logging import LoggerAdapter, getLogger
from typing import TYPE_CHECKING, Any

from queueworker.errors import TaskError
from queueworker.job import ClaimedJob

if TYPE_CHECKING:
    from psycopg import AsyncConnection

logger = getLogger(__name__)

Settle = Callable[["AsyncConnection[Any]"], Awaitable[None]]
"""Completes the job on a connection; raises StaleToken when it belongs to another run."""


class Context:
    """The run of one job, as its handler sees it.

    `token` grows with every claim of the job: stores that can compare may fence with it.
    `idempotency_key` is the same for all attempts: give it to systems outside the database.
    `deadline_s` is on the clock `time.monotonic()`; None means no limit.
    """

    __slots__ = ("_must_yield", "_settle", "deadline_s", "is_settled", "job", "queue", "task")

    def __init__(
        self,
        job: ClaimedJob,
        *,
        queue: str,
        task: str,
        must_yield: Callable[[], bool] | None = None,
        settle: Settle | None = None,
    ) -> None:
        self.job = job
        self.queue = queue
        self.task = task
        self.deadline_s = None if job.timeout_s is None else time.monotonic() + job.timeout_s
        self.is_settled = False
        self._must_yield = must_yield
        self._settle = settle

    @property
    def job_id(self) -> int:
        """Give the job's id."""
        return self.job.id

    @property
    def attempt(self) -> int:
        """Give the number of this start, from 1."""
        return self.job.attempt

    @property
    def token(self) -> int:
        """Give the fencing number of this run."""
        return self.job.token

    @property
    def idempotency_key(self) -> str:
        """Give the key that all attempts of this job share."""
        return str(self.job.id)

    @property
    def should_yield(self) -> bool:
        """Tell whether to stop soon: the worker ends, or the deadline has passed."""
        is_late = self.deadline_s is not None and time.monotonic() >= self.deadline_s
        return is_late or (self._must_yield is not None and self._must_yield())

    @property
    def logger(self) -> LoggerAdapter[Any]:
        """Give a logger whose records name the job."""
        bound = {"job_id": self.job.id, "attempt": self.job.attempt, "task": self.task}
        return LoggerAdapter(getLogger(f"queueworker.task.{self.task}"), bound)

    async def complete(self, conn: "AsyncConnection[Any]") -> None:
        """Acknowledge the job on `conn`, in the transaction that holds its effects.

        Raises:
            StaleToken: the job is no longer this run's; roll back.
            TaskError: this executor has no connection to acknowledge on.
        """
        if self._settle is None:
            raise TaskError(f"task {self.task!r}: complete() works in async handlers only")
        await self._settle(conn)
        self.is_settled = True
