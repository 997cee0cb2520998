"""Queues: found, listed, paused, moved to a table of their own and back, removed."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import psycopg

from queueworker.errors import DatabaseError, DatabaseUnavailable
from queueworker.statements import Query, statement
from queueworker.store.moves import MoveState, MoveStep, QueueContents
from queueworker.store.rows import QueueRow, QueueSummary
from queueworker.store.session import Session

Answer = TypeVar("Answer")

# A try waits 0.1 s at most, and keeps others waiting for as long; between tries they go on.
LOCK_TRIES = 300
LEAST_PAUSE_S, MOST_PAUSE_S = 0.05, 0.4
FINISH_TRIES = 20
FINISH_PAUSE_S = 0.25
DEFAULT_PART = "job_default"
BUSY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


class Queues(Session):
    """Rare statements about whole queues; none of them stands in a worker's hot path."""

    async def queue(self, name: str) -> QueueRow:
        """Find a queue; create its row at first use."""
        rows = await self.rows_of(QueueRow, statement("queue_ensure"), {"queue": name})
        return rows[0]

    async def queue_list(self) -> list[QueueSummary]:
        """List all queues with their counts."""
        return await self.rows_of(QueueSummary, statement("queue_list"), {})

    async def queue_names(self) -> list[str]:
        """List the names of all queues."""
        return [name for (name,) in await self.fetch(statement("queue_names"), {})]

    async def queue_exists(self, name: str) -> bool:
        """Tell whether a queue is known."""
        return bool(await self.fetch_value(statement("queue_exists"), {"queue": name}))

    async def queue_pause(self, name: str) -> bool:
        """Stop claims from a queue; give whether it exists."""
        return bool(await self.fetch_value(statement("queue_pause"), _pause(name, paused=True)))

    async def queue_resume(self, name: str) -> bool:
        """Allow claims from a queue again; give whether it exists."""
        return bool(await self.fetch_value(statement("queue_pause"), _pause(name, paused=False)))

    async def queue_create(self, name: str) -> QueueRow:
        """Give a queue a partition of its own; its jobs move there while work goes on."""
        async for _ in self.queue_move(name, own=True):
            pass
        return await self.queue(name)

    async def queue_move(self, name: str, *, own: bool) -> AsyncIterator[MoveStep]:
        """Move a queue's jobs to a partition of its own, or back to the default one.

        Ends when no waiting job is left behind. Jobs that run end where they are; workers tidy
        up after them. Interrupted, the next call goes on, and so do the workers.

        Raises:
            DatabaseUnavailable: a long transaction keeps the tables; try again after its end.
        """
        await self._flip(name, own=own)
        patience = FINISH_TRIES
        while patience:
            step = await self.queue_move_some(name)
            yield step
            if step.state is MoveState.MOVED:
                return
            if not step.moved:
                patience -= step.state is MoveState.FINISHING
                await asyncio.sleep(FINISH_PAUSE_S)

    async def queue_move_to_end(self, queue: QueueRow) -> None:
        """Bring a move to its end.

        Raises:
            DatabaseUnavailable: jobs that ran at its start, or transactions of then, go on.
        """
        async for step in self.queue_move(queue.name, own=queue.part != DEFAULT_PART):
            if step.state is MoveState.MOVED:
                return
        raise DatabaseUnavailable(
            f"queue {queue.name} is still being moved: jobs or transactions that were open at its"
            " start go on; try again after their end"
        )

    async def queue_move_some(self, name: str) -> MoveStep:
        """Move one batch."""
        (moved, state), *_ = await self.fetch(statement("queue_move_some"), {"queue": name})
        return MoveStep(moved=moved, state=MoveState(state))

    async def queue_contents(self, name: str) -> QueueContents:
        """Count what the removal of a queue would take away."""
        rows = await self.rows_of(QueueContents, statement("queue_contents"), {"queue": name})
        return rows[0]

    async def queue_drop(self, name: str, *, purge: bool) -> bool:
        """Remove a queue; without `purge` only an empty one that no live worker serves."""
        if purge:
            await self.queue_pause(name)
            while await self.fetch_value(statement("queue_empty"), {"queue": name}):
                pass
        if (queue := await self.queue(name)).tail is not None:
            await self.queue_move_to_end(queue)
        parameters = {"queue": name, "purge": purge}
        return bool(await self._patiently(statement("queue_drop"), parameters, name))

    async def _flip(self, name: str, *, own: bool) -> None:
        parameters: dict[str, object] = {"queue": name, "own": own}
        queue = await self.queue(name)
        if queue.tail is not None and own != (queue.part != DEFAULT_PART):
            await self.queue_move_to_end(queue)
        elif queue.tail is not None:
            return
        if own:
            await self._patiently(statement("queue_attach"), parameters, name)
        if not await self._patiently(statement("queue_part_make"), parameters, name):
            return
        if own:
            await self._patiently(statement("queue_part_guard"), parameters, name)
            await self.fetch(statement("queue_part_prove"), parameters)
        await self._patiently(statement("queue_flip"), parameters, name)

    async def _patiently(self, query: Query, parameters: dict[str, object], name: str) -> object:
        """Try a statement that gives up quickly where it would make others wait."""

        async def once() -> object:
            return await self.fetch_value(query, parameters)

        return await _until_free(once, name)


async def _until_free(once: Callable[[], Awaitable[Answer]], name: str) -> Answer:
    for _ in range(LOCK_TRIES):
        try:
            return await once()
        except DatabaseError as exc:
            if not isinstance(exc.__cause__, BUSY):
                raise
            await asyncio.sleep(random.uniform(LEAST_PAUSE_S, MOST_PAUSE_S))  # noqa: S311 - jitter
    raise DatabaseUnavailable(
        f"queue {name}: a long transaction holds the jobs' tables; run the command again after its"
        " end (see pg_stat_activity for the oldest xact_start)"
    )


def _pause(name: str, *, paused: bool) -> dict[str, object]:
    return {"queue": name, "paused": paused}
