"""Time single claims through the product's own store, and count the pages that they touch."""

import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import psycopg

from queueworker.dsn import Dsn
from queueworker.hints import LaneHints
from queueworker.job import ClaimedJob, Transition, TransitionKind
from queueworker.store import ClaimRequest, OpenClaims, QueueRow, Store, WorkerRow, connect

LIMIT, WARM_UP, LEASE_S, SWEEP_EVERY_S = 100, 30, 3600.0, 1.0
TASK = "noop"
ENQUEUE = """
    SELECT count(*) FROM queueworker.enqueue_many(%s, 'noop',
      ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, %s) AS n))
"""
PAGES = """
    SELECT coalesce(sum(reads + hits), 0) FROM pg_stat_get_backend_io(pg_backend_pid())
    WHERE object = 'relation'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What each claim took, and pages touched (hit or read) per claim."""

    times_s: list[float]
    pages: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimer:
    """A worker's two connections: one claims, the other completes and sweeps."""

    claiming: Store
    completing: Store
    conn: psycopg.AsyncConnection[object]
    queue: QueueRow
    worker_id: uuid.UUID
    hints: LaneHints = field(default_factory=LaneHints)

    async def claim(self) -> float:
        """Claim and complete a batch; give the seconds of the claim."""
        request = ClaimRequest(
            queue=self.queue,
            worker_id=self.worker_id,
            limit=LIMIT,
            lanes=self.hints.lanes,
            hints=self.hints.starts,
        )
        began_s = time.perf_counter()
        jobs = await self.claiming.claim(request)
        took_s = time.perf_counter() - began_s
        now_s = time.monotonic()
        self.hints.claimed(jobs, now_s - took_s, now_s)
        if len(jobs) < LIMIT:
            raise RuntimeError(f"queue {self.queue.name}: {len(jobs)} of {LIMIT} jobs were claimed")
        await self.completing.complete(self.queue, _succeeded(jobs))
        return took_s

    async def sweep(self) -> None:
        """Do what a worker does each second."""
        rows = await self.completing.sweep(self.queue.id, self.hints.ids)
        self.hints.swept(rows, time.monotonic())

    async def pages(self) -> int:
        """Give the pages that the claiming connection has touched so far."""
        await self.conn.execute("SELECT pg_stat_force_next_flush()")
        row: object = await (await self.conn.execute(PAGES)).fetchone()
        return int(row[0]) if isinstance(row, tuple) else 0


async def measure_claims(dsn: str, queues: Sequence[str], count: int) -> list[Claims]:
    """Enqueue what is needed, then claim `count` batches of 100 from each queue in turn."""
    async with AsyncExitStack() as stack:
        claimers = [await _open(stack, dsn, queue, count + WARM_UP) for queue in queues]
        times_s: list[list[float]] = [[] for _ in claimers]
        pages = [0 for _ in claimers]
        swept_s = time.monotonic()
        for number in range(count + WARM_UP):
            if number == WARM_UP:
                pages = [await claimer.pages() for claimer in claimers]
                times_s = [[] for _ in claimers]
            turn = list(enumerate(claimers))
            for place, claimer in turn if number % 2 else reversed(turn):
                times_s[place].append(await claimer.claim())
            if time.monotonic() - swept_s > SWEEP_EVERY_S:
                for claimer in claimers:
                    await claimer.sweep()
                swept_s = time.monotonic()
        pages = [
            await claimer.pages() - before for claimer, before in zip(claimers, pages, strict=True)
        ]
        for claimer in claimers:
            await claimer.completing.deregister(claimer.worker_id)
    return [
        Claims(times_s=times, pages=touched / count)
        for times, touched in zip(times_s, pages, strict=True)
    ]


async def _open(stack: AsyncExitStack, dsn: str, queue: str, batches: int) -> Claimer:
    address, claims = Dsn.parse(dsn), OpenClaims()
    first, second = [
        await stack.enter_async_context(await connect(address, application_name="benchmarks"))
        for _ in range(2)
    ]
    await second.execute(ENQUEUE, (queue, batches * LIMIT))
    completing = Store(second, claims)
    worker = WorkerRow(
        id=uuid.uuid4(),
        pod="benchmark",
        namespace="",
        node="",
        version="0",
        queues=(queue,),
        tasks=(TASK,),
        slots=LIMIT,
        ttl_s=LEASE_S,
    )
    await completing.register(worker)
    row = await completing.queue(queue)
    claimer = Claimer(
        claiming=Store(first, claims),
        completing=completing,
        conn=first,
        queue=row,
        worker_id=worker.id,
    )
    claimer.hints.learn(await completing.lanes(row.id, [TASK]))
    await claimer.sweep()
    return claimer


def _succeeded(jobs: Sequence[ClaimedJob]) -> list[Transition]:
    return [Transition(job_id=job.id, token=job.token, kind=TransitionKind.SUCCEED) for job in jobs]
