"""Enqueue in one statement: in the caller's transaction, or on a connection of one's own."""

import asyncio
import json
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from queueworker.dsn import Dsn
from queueworker.errors import EnqueueRefused
from queueworker.job import Job
from queueworker.statements import statement
from queueworker.store import PRODUCER, connect, connect_sync, translated

APPLICATION_NAME = "queueworker-producer"


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When a job becomes ready, and what makes it unique.

    `delay_s` counts by the database's clock. A taken `unique_key` enqueues nothing.
    """

    run_at: datetime | None = None
    delay_s: float | None = None
    unique_key: str | None = None
    priority: int | None = None

    def __post_init__(self) -> None:
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise EnqueueRefused("run_at has no time zone; give an aware datetime, or delay_s")
        if self.run_at is not None and self.delay_s is not None:
            raise EnqueueRefused("both run_at and delay_s are set; give one of them")


NOW = When()


async def enqueue(conn: psycopg.AsyncConnection[Any], job: Job, when: When = NOW) -> int | None:
    """Enqueue on `conn`, inside its transaction if one is open; None when the key is taken."""
    with translated():
        # Not `conn.cursor()`: its class, say `RawCursor`, may not take named parameters.
        async with psycopg.AsyncCursor(conn, row_factory=tuple_row) as cursor:
            await cursor.execute(statement("enqueue"), _one(job, when))
            row = await cursor.fetchone()
    return None if row is None else row[0]


def enqueue_sync(conn: psycopg.Connection[Any], job: Job, when: When = NOW) -> int | None:
    """Enqueue on a synchronous connection, inside its transaction if one is open."""
    with translated(), psycopg.Cursor(conn, row_factory=tuple_row) as cursor:
        cursor.execute(statement("enqueue"), _one(job, when))
        row = cursor.fetchone()
    return None if row is None else row[0]


async def enqueue_many(conn: psycopg.AsyncConnection[Any], jobs: Sequence[Job]) -> list[int | None]:
    """Enqueue all jobs or none, one statement per kind of job in one round trip."""
    groups = _groups(jobs)
    ids: list[int | None] = [None] * len(jobs)
    with translated():
        block = nullcontext() if _is_to_open(conn) else conn.transaction()
        async with block, conn.pipeline():
            cursors = []
            for places in groups:
                cursor = psycopg.AsyncCursor(conn, row_factory=tuple_row)
                chosen = [jobs[place] for place in places]
                cursors.append(await cursor.execute(statement("enqueue_many"), _many(chosen)))
            for places, cursor in zip(groups, cursors, strict=True):
                rows = await cursor.fetchall()
                for place, (job_id,) in zip(places, rows, strict=True):
                    ids[place] = job_id
    return ids


def enqueue_many_sync(conn: psycopg.Connection[Any], jobs: Sequence[Job]) -> list[int | None]:
    """Enqueue all jobs or none on a synchronous connection."""
    ids: list[int | None] = [None] * len(jobs)
    block: AbstractContextManager[object]
    block = nullcontext() if _is_to_open(conn) else conn.transaction()
    with translated(), block, psycopg.Cursor(conn, row_factory=tuple_row) as cursor:
        for places in _groups(jobs):
            cursor.execute(statement("enqueue_many"), _many([jobs[place] for place in places]))
            for place, (job_id,) in zip(places, cursor.fetchall(), strict=True):
                ids[place] = job_id
    return ids


class Producer:
    """Connections for enqueues without one: one per event loop, and one for synchronous code."""

    def __init__(self) -> None:
        self._conn: psycopg.AsyncConnection[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._sync_conn: psycopg.Connection[Any] | None = None
        self._sync_lock = threading.Lock()

    async def enqueue_many(self, dsn: Dsn, jobs: Sequence[Job]) -> list[int | None]:
        """Enqueue all jobs in a transaction of their own."""
        conn = await self._connection(dsn)
        async with self._lock:
            return await enqueue_many(conn, jobs)

    async def enqueue(self, dsn: Dsn, job: Job, when: When) -> int | None:
        """Enqueue one job in a transaction of its own."""
        conn = await self._connection(dsn)
        async with self._lock:
            return await enqueue(conn, job, when)

    def enqueue_sync(self, dsn: Dsn, job: Job, when: When) -> int | None:
        """Enqueue one job from synchronous code; threads take turns."""
        with self._sync_lock:
            return enqueue_sync(self._sync_connection(dsn), job, when)

    def enqueue_many_sync(self, dsn: Dsn, jobs: Sequence[Job]) -> list[int | None]:
        """Enqueue all jobs from synchronous code; threads take turns."""
        with self._sync_lock:
            return enqueue_many_sync(self._sync_connection(dsn), jobs)

    async def close(self) -> None:
        """Close the connections; a later enqueue opens them anew."""
        if self._conn is not None:
            await self._conn.close()
            self._conn = None
        self.close_sync()

    def close_sync(self) -> None:
        """Close the synchronous connection alone."""
        if self._sync_conn is not None:
            self._sync_conn.close()
            self._sync_conn = None

    async def _connection(self, dsn: Dsn) -> psycopg.AsyncConnection[Any]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # A connection and a lock of another loop cannot be awaited here.
            self._conn, self._loop, self._lock = None, loop, asyncio.Lock()
        async with self._lock:
            if self._conn is None or self._conn.closed:
                self._conn = await connect(dsn, application_name=APPLICATION_NAME, limits=PRODUCER)
            return self._conn

    def _sync_connection(self, dsn: Dsn) -> psycopg.Connection[Any]:
        if self._sync_conn is None or self._sync_conn.closed:
            self._sync_conn = connect_sync(dsn, application_name=APPLICATION_NAME, limits=PRODUCER)
        return self._sync_conn


def _is_to_open(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    # The first statement opens the caller's transaction, which only the caller may commit; a
    # block of ours would be the outermost one and commit at its end.
    return not conn.autocommit and conn.info.transaction_status is TransactionStatus.IDLE


def _one(job: Job, when: When) -> dict[str, object]:
    return {
        **_common(job),
        "args": _json(job),
        "priority": job.priority if when.priority is None else when.priority,
        "run_at": when.run_at,
        "delay_s": when.delay_s,
        "unique_key": _text("unique_key", when.unique_key),
    }


def _many(jobs: Sequence[Job]) -> dict[str, object]:
    first = jobs[0]
    return {
        **_common(first),
        "args": [_json(job) for job in jobs],
        "priority": first.priority,
    }


def _common(job: Job) -> dict[str, object]:
    return {
        "queue": _text("queue", job.queue),
        "task": _text("task", job.task),
        "max_attempts": job.max_attempts,
        "timeout_s": job.timeout_s,
    }


def _text(what: str, value: str | None) -> str | None:
    if value is not None and ("\0" in value or not _is_unicode(value)):
        raise EnqueueRefused(f"{what} has a character that Postgres cannot store (NUL, surrogate)")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _groups(jobs: Sequence[Job]) -> list[list[int]]:
    places: dict[tuple[object, ...], list[int]] = {}
    for place, job in enumerate(jobs):
        kind = (job.queue, job.task, job.priority, job.max_attempts, job.timeout_s)
        places.setdefault(kind, []).append(place)
    return list(places.values())


def _json(job: Job) -> str:
    try:
        return json.dumps(job.args, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise EnqueueRefused(
            f"the arguments of task {job.task!r} are not JSON; give text, numbers, lists, dicts"
        ) from None
