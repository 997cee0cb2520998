"""An application: its tasks, and how their jobs are enqueued."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Never,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    overload,
)

from queueworker import enqueue as statements
from queueworker.context import Context
from queueworker.dsn import Dsn
from queueworker.errors import TaskError
from queueworker.job import Job, Policy
from queueworker.retry import Backoff, exponential
from queueworker.settings import Settings
from queueworker.task import Task, TaskOptions, TaskRegistry, executor_named
from queueworker.unique import Unique

if TYPE_CHECKING:
    import psycopg

P = ParamSpec("P")
R = TypeVar("R")


class TaskDecorator(Protocol):
    """Turns a function into a `Task`; a first parameter `ctx: Context` leaves the typed call."""

    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class App:
    """Tasks by name and the database that their jobs go to.

    `dsn` of None is read from QUEUEWORKER_DSN at the first enqueue, not at import.
    """

    def __init__(self, dsn: str | None = None) -> None:
        self._dsn = None if dsn is None else Dsn.parse(dsn)
        self.tasks = TaskRegistry()

    def task(
        self,
        *misplaced: Never,
        queue: str = "default",
        priority: int = 0,
        max_attempts: int = 5,
        backoff: Backoff | None = None,
        timeout_s: float | None = None,
        executor: str = "auto",
        name: str | None = None,
        unique: Unique = False,
        on_duplicate: Policy = "keep",
    ) -> TaskDecorator:
        """Register the decorated function as a task named `name`, or as the function is.

        `executor` "auto" runs `async def` in the loop and `def` in a thread; "process" runs a `def`
        in a process that is killed at the deadline. `unique` makes a key of the arguments: True of
        all, a template like "{user_id}", or a function. `ctx: Context` must be the first parameter.

        Raises:
            TaskError: an option is out of its bounds, or the function cannot be a task.
        """
        _check_called(misplaced)
        options = TaskOptions(
            queue=queue,
            priority=priority,
            max_attempts=max_attempts,
            backoff=backoff or exponential(),
            timeout_s=timeout_s,
            executor=executor_named(executor),
            unique=unique,
            on_duplicate=on_duplicate,
        )

        def register(function: Callable[..., Any], /) -> Task[..., Any]:
            task: Task[..., Any] = Task(function, name or function.__name__, options)
            self.tasks.add(task)
            return task

        return register  # type: ignore[return-value]  # one body for both overloads

    def include(self, other: "App") -> None:
        """Take over all tasks of another app, so that a domain can keep its own module."""
        for task in other.tasks:
            self.tasks.add(task)

    async def enqueue(
        self,
        job: Job,
        conn: "psycopg.AsyncConnection[Any] | None" = None,
        *,
        run_at: datetime | None = None,
        delay_s: float | None = None,
        unique_key: str | None = None,
        priority: int | None = None,
        on_duplicate: Policy | None = None,
    ) -> int | None:
        """Enqueue a job; give its id, or None when the holder of its unique key stays.

        With `conn` it happens in that connection's transaction: commit publishes it.

        Raises:
            EnqueueRefused: the job is out of bounds (size, depth, priority, ...).
            DuplicateJob: the unique key is taken, and `on_duplicate` is "reject".
            InvalidCall: the task was not called, or `conn` is not asynchronous.
            DatabaseUnavailable: the database cannot be reached.
        """
        job = statements.chosen(
            job,
            run_at=run_at,
            delay_s=delay_s,
            unique_key=unique_key,
            priority=priority,
            on_duplicate=on_duplicate,
        )
        if conn is not None:
            return await statements.enqueue(conn, job)
        return await self._producer.enqueue(self.dsn, job)

    async def enqueue_many(
        self,
        jobs: Iterable[Job],
        conn: "psycopg.AsyncConnection[Any] | None" = None,
        *,
        on_duplicate: Policy | None = None,
    ) -> list[int | None]:
        """Enqueue all jobs or none, whatever their tasks; give their ids in their order.

        Times and keys of single jobs are set with `job.using(...)`. One round trip; from 5,000 jobs
        of a kind on a COPY, where the role may (`queueworker_worker` and the owner).
        """
        chosen = statements.for_all(jobs, on_duplicate)
        if conn is not None:
            return await statements.enqueue_many(conn, chosen)
        return await self._producer.enqueue_many(self.dsn, chosen)

    def enqueue_sync(
        self,
        job: Job,
        conn: "psycopg.Connection[Any] | None" = None,
        *,
        run_at: datetime | None = None,
        delay_s: float | None = None,
        unique_key: str | None = None,
        priority: int | None = None,
        on_duplicate: Policy | None = None,
    ) -> int | None:
        """Enqueue from synchronous code (Django, Flask); see `enqueue`."""
        job = statements.chosen(
            job,
            run_at=run_at,
            delay_s=delay_s,
            unique_key=unique_key,
            priority=priority,
            on_duplicate=on_duplicate,
        )
        if conn is not None:
            return statements.enqueue_sync(conn, job)
        return self._producer.enqueue_sync(self.dsn, job)

    def enqueue_many_sync(
        self,
        jobs: Iterable[Job],
        conn: "psycopg.Connection[Any] | None" = None,
        *,
        on_duplicate: Policy | None = None,
    ) -> list[int | None]:
        """Enqueue all jobs or none from synchronous code; see `enqueue_many`."""
        chosen = statements.for_all(jobs, on_duplicate)
        if conn is not None:
            return statements.enqueue_many_sync(conn, chosen)
        return self._producer.enqueue_many_sync(self.dsn, chosen)

    async def cancel(
        self, job_id: int, conn: "psycopg.AsyncConnection[Any] | None" = None
    ) -> str | None:
        """Cancel a job: it runs no more, and a run of it is stopped.

        Give what it was ("ready", "scheduled", "running"), None when it has ended.
        """
        if conn is not None:
            return await statements.cancel(conn, job_id)
        return await self._producer.cancel(self.dsn, job_id)

    def cancel_sync(self, job_id: int, conn: "psycopg.Connection[Any] | None" = None) -> str | None:
        """Cancel a job from synchronous code; see `cancel`."""
        if conn is not None:
            return statements.cancel_sync(conn, job_id)
        return self._producer.cancel_sync(self.dsn, job_id)

    @property
    def dsn(self) -> Dsn:
        """Give the database's address; without one, say how to set it."""
        if self._dsn is None:
            self._dsn = Settings.from_env().required_dsn
        return self._dsn

    @cached_property
    def _producer(self) -> "statements.Producer":
        # Of threads that come here together, all get the first one's.
        producer: statements.Producer
        producer = self.__dict__.setdefault("_producer", statements.Producer())
        return producer

    async def close(self) -> None:
        """Close this app's own connections."""
        await self._producer.close()

    def close_sync(self) -> None:
        """Close the connection of synchronous enqueues."""
        self._producer.close_sync()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _check_called(misplaced: tuple[object, ...]) -> None:
    if misplaced:
        named = getattr(misplaced[0], "__name__", "the function")
        raise TaskError(f"task {named!r}: write @app.task(), and options by name")
