"""Connections for enqueues without one: one per event loop, and one for synchronous code.

Producers fail fast: nothing is tried twice, because it may have happened. But a connection that broke
while it was idle is opened anew before it is used.
"""

import asyncio
import os
import select
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg

from queueworker.connection import PRODUCER, connect, connect_sync
from queueworker.dsn import Dsn
from queueworker.enqueue.calls import (
    cursor_of,
    cursor_of_sync,
    enqueue_many,
    enqueue_many_sync,
    enqueue_with,
    enqueue_with_sync,
)
from queueworker.enqueue.cancelling import cancel, cancel_sync
from queueworker.job import Job

Result = TypeVar("Result")
AsyncCall = Callable[[psycopg.AsyncCursor[Any]], Awaitable[Result]]
SyncCall = Callable[[psycopg.Cursor[Any]], Result]

APPLICATION_NAME = "queueworker-producer"


@dataclass(slots=True, kw_only=True)
class LoopConnection:
    """The connection of one event loop, by its one cursor; its tasks take turns."""

    cursor: psycopg.AsyncCursor[Any] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Producer:
    """Runs enqueues in transactions of their own."""

    def __init__(self) -> None:
        self._loops: dict[asyncio.AbstractEventLoop, LoopConnection] = {}
        self._sync_cursor: psycopg.Cursor[Any] | None = None
        self._sync_lock = threading.Lock()
        self._pid = os.getpid()

    async def enqueue(self, dsn: Dsn, job: Job) -> int | None:
        """Enqueue one job."""
        return await self._run(dsn, lambda cursor: enqueue_with(cursor, job))

    async def enqueue_many(self, dsn: Dsn, jobs: Sequence[Job]) -> list[int | None]:
        """Enqueue all jobs or none."""
        return await self._run(dsn, lambda cursor: enqueue_many(cursor.connection, jobs))

    def enqueue_sync(self, dsn: Dsn, job: Job) -> int | None:
        """Enqueue one job from synchronous code; threads take turns."""
        return self._run_sync(dsn, lambda cursor: enqueue_with_sync(cursor, job))

    def enqueue_many_sync(self, dsn: Dsn, jobs: Sequence[Job]) -> list[int | None]:
        """Enqueue all jobs or none from synchronous code; threads take turns."""
        return self._run_sync(dsn, lambda cursor: enqueue_many_sync(cursor.connection, jobs))

    async def cancel(self, dsn: Dsn, job_id: int) -> str | None:
        """Cancel a job; give what it was."""
        return await self._run(dsn, lambda cursor: cancel(cursor.connection, job_id))

    def cancel_sync(self, dsn: Dsn, job_id: int) -> str | None:
        """Cancel a job from synchronous code."""
        return self._run_sync(dsn, lambda cursor: cancel_sync(cursor.connection, job_id))

    async def close(self) -> None:
        """Close this loop's connection and the synchronous one; a later enqueue opens them anew."""
        held = self._loops.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await _close_async(held)
        self._drop_ended_loops()
        self.close_sync()

    def close_sync(self) -> None:
        """Close the synchronous connection alone."""
        if self._sync_cursor is not None:
            self._sync_cursor.connection.close()
            self._sync_cursor = None

    async def _run(self, dsn: Dsn, call: AsyncCall[Result]) -> Result:
        self._forget_parent()
        loop = asyncio.get_running_loop()
        held = self._loops.get(loop)
        if held is None:
            self._drop_ended_loops()
            held = self._loops[loop] = LoopConnection()
        async with held.lock:
            if held.cursor is None or not is_usable(held.cursor.connection):
                await _close_async(held)
                conn = await connect(dsn, application_name=APPLICATION_NAME, limits=PRODUCER)
                held.cursor = cursor_of(conn)
            return await call(held.cursor)

    def _run_sync(self, dsn: Dsn, call: SyncCall[Result]) -> Result:
        self._forget_parent()
        with self._sync_lock:
            cursor = self._sync_cursor
            if cursor is None or not is_usable(cursor.connection):
                self.close_sync()
                conn = connect_sync(dsn, application_name=APPLICATION_NAME, limits=PRODUCER)
                cursor = self._sync_cursor = cursor_of_sync(conn)
            return call(cursor)

    def _forget_parent(self) -> None:
        # After a fork the sockets are the parent's: closing them here would end its sessions.
        # psycopg does not close what another process opened.
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._loops = {}
            self._sync_cursor = None
            self._sync_lock = threading.Lock()

    def _drop_ended_loops(self) -> None:
        for loop, held in list(self._loops.items()):
            if loop.is_closed():
                del self._loops[loop]
                if held.cursor is not None:
                    held.cursor.connection.pgconn.finish()  # nobody is left who could await its close


async def _close_async(held: LoopConnection) -> None:
    cursor, held.cursor = held.cursor, None
    if cursor is not None:
        await cursor.connection.close()


def is_usable(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Tell whether an idle connection still stands, without a round trip.

    A server says nothing to an idle session but its end: whatever can be read is a farewell.
    """
    if conn.closed:
        return False
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    return not poll.poll(0)
