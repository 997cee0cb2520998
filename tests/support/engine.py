"""A short way to drive the store in tests: workers, enqueues and claims on one connection."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from queueworker.dsn import Dsn
from queueworker.job import ClaimedJob, FailureKind, Transition, TransitionKind
from queueworker.store import (
    ClaimRequest,
    LagRow,
    QueueRow,
    Store,
    SweptLane,
    WorkerLoad,
    WorkerRow,
    connect,
)

LONG_TTL_S = 60.0
# No older than it must be: a sweep looks at everything where nobody has for long.
AGE_SWEEPS = """
    UPDATE queueworker.queue SET swept_at = least(swept_at, clock_timestamp() - interval '1 s')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One queue, seen by one connection."""

    conn: psycopg.AsyncConnection[Any]
    store: Store
    queue: QueueRow

    async def one(self, query: str, *parameters: object) -> Any:
        row = await (await self.conn.execute(query, parameters)).fetchone()
        return None if row is None else row[0]

    async def all(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        return await (await self.conn.execute(query, parameters)).fetchall()

    async def enqueue(self, count: int = 1, task: str = "a", **options: object) -> list[int]:
        named = sql.SQL("").join(
            sql.SQL(", {} => {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in options.items()
        )
        query = sql.SQL("SELECT queueworker.enqueue(%s, %s{}) FROM generate_series(1, %s)")
        cursor = await self.conn.execute(query.format(named), (self.queue.name, task, count))
        return [row[0] for row in await cursor.fetchall()]

    async def worker(
        self,
        ttl_s: float = LONG_TTL_S,
        tasks: Sequence[str] = ("a",),
        pod: str = "",
        slots: int = 10,
    ) -> uuid.UUID:
        row = WorkerRow(
            id=uuid.uuid4(),
            pod=pod,
            namespace="default",
            node="",
            version="0",
            queues=(self.queue.name,),
            tasks=tuple(tasks),
            slots=slots,
            ttl_s=ttl_s,
        )
        await self.store.register(row)
        return row.id

    async def claim(
        self,
        worker_id: uuid.UUID,
        limit: int = 1,
        tasks: Sequence[str] = ("a", "b", "c"),
        started: int | None = None,
    ) -> list[ClaimedJob]:
        queue = await self.store.queue(self.queue.name)
        lanes = await self.store.lanes(queue.id, tasks)
        return await self.store.claim(
            ClaimRequest(
                queue=queue,
                worker_id=worker_id,
                limit=limit,
                lanes=lanes,
                hints=[lane.floor for lane in lanes],
                started=started,
            )
        )

    async def expire(self, worker_id: uuid.UUID) -> None:
        """End a lease by the database's clock, as if the worker had stopped renewing long ago."""
        await self.all(
            "UPDATE queueworker.worker SET expires_at = clock_timestamp() - interval '1 ms'"
            " WHERE id = %s RETURNING id",
            worker_id,
        )

    async def sweep(self) -> list[SweptLane]:
        """Sweep now, however short the last sweep's age."""
        await self.conn.execute(AGE_SWEEPS)
        queue = await self.store.queue(self.queue.name)  # a move gives it another id
        lanes = await self.all(
            "SELECT id FROM queueworker.lane WHERE queue_id = %s ORDER BY id", queue.id
        )
        return await self.store.sweep(queue.id, [lane for (lane,) in lanes])

    async def lag(self) -> LagRow:
        return (await self.store.lag([self.queue.name]))[0]

    async def states(self) -> dict[str, int]:
        return dict(
            await self.all("SELECT state, count(*)::int FROM queueworker.jobs GROUP BY state")
        )


@asynccontextmanager
async def engine(
    dsn: str, queue: str = "mail", *, is_pinned: bool = False
) -> AsyncIterator[Engine]:
    """Open a worker's connection; unless pinned, tests find their own tables in it."""
    conn = await connect(Dsn.parse(dsn), application_name="test")
    try:
        if not is_pinned:
            await conn.execute("RESET search_path")
        store = Store(conn)
        yield Engine(conn=conn, store=store, queue=await store.queue(queue))
    finally:
        await conn.close()


def succeed(job: ClaimedJob) -> Transition:
    return Transition(job_id=job.id, token=job.token, kind=TransitionKind.SUCCEED)


def release(job: ClaimedJob) -> Transition:
    return Transition(job_id=job.id, token=job.token, kind=TransitionKind.RELEASE)


def retry(job: ClaimedJob, delay_s: float = 0.0) -> Transition:
    return Transition(
        job_id=job.id,
        token=job.token,
        kind=TransitionKind.RETRY,
        delay_s=delay_s,
        error="no luck",
        failure=FailureKind.ERROR,
    )


def bury(job: ClaimedJob) -> Transition:
    return Transition(
        job_id=job.id,
        token=job.token,
        kind=TransitionKind.DEAD,
        error="no hope",
        failure=FailureKind.ERROR,
    )


def load(busy: int = 0, held: int = 0) -> WorkerLoad:
    return WorkerLoad(slots=10, busy=busy, held=held)


async def die(e: Engine, limit: int = 1, started: int | None = None) -> list[int]:
    """Let a worker claim and vanish; give the claimed ids."""
    worker = await e.worker()
    jobs = await e.claim(worker, limit, started=started)
    await e.expire(worker)
    return [job.id for job in jobs]
