"""Clients that drive each hazard of the protocol on a real database, all at once.

Nothing here may raise where the product is broken: what went wrong is the checker's to find.
"""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from tests.support.engine import AGE_SWEEPS, Engine, bury, engine, load, release, retry, succeed
from tests.support.history import Idle, Journal, Kind, Place, Write

import queueworker.enqueue as producing
from queueworker.errors import DatabaseUnavailable, StaleToken
from queueworker.job import ClaimedJob, Job, Transition, TransitionKind
from queueworker.store import completion

KINDS = {
    TransitionKind.SUCCEED: Kind.SUCCEEDED,
    TransitionKind.RETRY: Kind.FAILED,
    TransitionKind.DEAD: Kind.DEAD,
    TransitionKind.RELEASE: Kind.RELEASED,
    TransitionKind.RELEASE_STARTED: Kind.RELEASED,
}
LEASE_S = 60.0
CHURN_S = 0.6
WAIT_S = 6.0
# A rescuer in doubt about the clock waits for so long: all that time a live lease must be left alone.
LONGEST_HOLD_S = 2.0
MOST_TRIES = 5
CONFLICTS = (
    DatabaseUnavailable,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
)

Answer = TypeVar("Answer")
# A store that compares fencing numbers: an older run never overwrites a newer one.
OUTSIDE = """
WITH fenced AS (
  INSERT INTO external_store AS known (job_id, token)
  SELECT * FROM unnest(%s::bigint[], %s::bigint[])
  ON CONFLICT (job_id) DO UPDATE SET token = excluded.token WHERE known.token < excluded.token
  RETURNING job_id, token
)
INSERT INTO external_log (job_id, token) SELECT job_id, token FROM fenced
"""


async def insist(work: Callable[[], Awaitable[Answer]]) -> Answer:
    """Do it again after a conflict with others, as a worker does."""
    for _ in range(MOST_TRIES):
        with suppress(*CONFLICTS):
            return await work()
    return await work()


@dataclass(frozen=True, slots=True)
class Client:
    """One connection; it writes down what the database told it."""

    e: Engine
    journal: Journal

    async def enqueue(self, count: int = 1, task: str = "a", **options: object) -> list[int | None]:
        ids: list[int | None] = [*await self.e.enqueue(count, task, **options)]
        self.journal.committed += [job_id for job_id in ids if job_id is not None]
        return ids

    async def worker(self, ttl_s: float = LEASE_S) -> uuid.UUID:
        worker = await self.e.worker(ttl_s=ttl_s, tasks=("a", "b", "c"))
        self.journal.ttl_s[str(worker)] = ttl_s
        return worker

    async def claim(
        self, worker: uuid.UUID, limit: int = 1, started: int | None = None
    ) -> list[ClaimedJob]:
        lanes = await self.e.store.lanes(self.e.queue.id, ("a", "b", "c"))
        jobs = await self.e.claim(worker, limit, started=started)
        first = jobs[: len(jobs) if started is None else started]
        self.journal.started.update((job.id, job.token) for job in first)
        if jobs:
            # Asked afterwards: the claim may know a lane that opened since the question before it.
            priorities = dict(await self.e.all("SELECT id, priority FROM queueworker.lane"))
            self.journal.handed.append(
                [Place(job.id, priorities.get(job.lane, 0), job.lane, job.pos) for job in jobs]
            )
        elif lanes:
            now_s = await self.e.one("SELECT extract(epoch FROM clock_timestamp())::float8")
            self.journal.idles.append(Idle(now_s, frozenset(lane.id for lane in lanes)))
        return jobs

    async def settle(self, *changes: Transition) -> None:
        """Complete with an effect in the same transaction, and one outside before it."""
        done = [item for item in changes if item.kind is TransitionKind.SUCCEED]
        await self.e.conn.execute(OUTSIDE, _columns(done))
        taken = await insist(lambda: self._complete(changes))
        self.journal.writes += [
            Write(KINDS[item.kind], item.job_id, item.token, is_accepted=item in taken)
            for item in changes
        ]

    async def _complete(self, changes: Sequence[Transition]) -> Sequence[Transition]:
        async with self.e.conn.transaction():
            refused = await self.e.store.complete(self.e.queue, changes)
            taken = [item for item in changes if (item.job_id, item.token) not in refused]
            done = [item for item in taken if item.kind is TransitionKind.SUCCEED]
            await self.effect(self.e.conn, done)
        return taken

    async def effect(
        self, conn: psycopg.AsyncConnection[object], done: Sequence[Transition]
    ) -> None:
        await conn.execute(
            "INSERT INTO effect SELECT * FROM unnest(%s::bigint[], %s::bigint[])", _columns(done)
        )

    async def die(self, worker: uuid.UUID) -> None:
        """Let the lease end and others rescue, unless they hold that back for too long."""
        await insist(lambda: self.e.expire(worker))
        until_s = time.monotonic() + WAIT_S
        await insist(self.e.store.rescue)
        query = "SELECT true FROM queueworker.worker WHERE id = %s"
        while await self.e.one(query, worker) and time.monotonic() < until_s:
            await asyncio.sleep(0.05)
            await insist(self.e.store.rescue)

    async def sweep(self, times: int = 1) -> None:
        """Sweep this queue at once, as often as asked."""
        for _ in range(times):
            await insist(
                lambda: self.e.all(
                    f"{AGE_SWEEPS} WHERE id = %s RETURNING id",
                    self.e.queue.id,
                )
            )
            lanes = await self.e.store.lanes(self.e.queue.id, ("a", "b", "c"))
            ids = [lane.id for lane in lanes]
            await insist(lambda ids=ids: self.e.store.sweep(self.e.queue.id, ids))  # type: ignore[misc]


def _columns(items: Sequence[Transition]) -> tuple[list[int], list[int]]:
    return [item.job_id for item in items], [item.token for item in items]


@asynccontextmanager
async def client(dsn: str, journal: Journal, queue: str) -> AsyncIterator[Client]:
    async with engine(dsn, queue) as e:
        yield Client(e, journal)


Scene = Callable[[str, Journal], Awaitable[None]]


async def a_zombie_acknowledges(dsn: str, journal: Journal) -> None:
    """All kinds of writes of a worker whose jobs were rescued and run elsewhere."""
    async with client(dsn, journal, "zombie") as zombie, client(dsn, journal, "zombie") as other:
        await other.enqueue(8)
        first, second = await zombie.worker(), await other.worker()
        old = await zombie.claim(first, 4)
        await other.die(first)
        late = [
            change(job) for change, job in zip((succeed, retry, bury, release), old, strict=False)
        ]
        await zombie.settle(*late[:1])
        new = await other.claim(second, 8)
        await zombie.settle(*late)
        await other.settle(*map(succeed, new))


async def a_worker_meets_its_own_past(dsn: str, journal: Journal) -> None:
    """After a loss the same process holds a job under a newer token; one batch names both."""
    async with client(dsn, journal, "again") as c:
        await c.enqueue(2)
        first = await c.worker()
        old = await c.claim(first, 1)
        await c.die(first)
        new = await c.claim(await c.worker(), 2)
        old_ids = {job.id for job in old}
        await c.settle(*map(succeed, old), *(succeed(job) for job in new if job.id not in old_ids))
        await c.settle(*(succeed(job) for job in new if job.id in old_ids))


async def live_leases_are_left_alone(dsn: str, journal: Journal) -> None:
    async with client(dsn, journal, "live") as c, client(dsn, journal, "live") as other:
        await c.enqueue(3)
        holder = await c.worker()
        jobs = await c.claim(holder, 3)
        until_s = time.monotonic() + LONGEST_HOLD_S
        while (await c.e.store.renew(holder, LEASE_S, load(busy=3))).alive:
            await insist(other.e.store.rescue)
            await other.sweep()
            await asyncio.sleep(0.1)
            if time.monotonic() > until_s:
                break
        thief = await other.worker()
        stolen = await other.claim(thief, 3)
        await c.settle(*map(succeed, jobs))
        await other.settle(*map(succeed, stolen))


async def a_rescue_meets_a_newer_run(dsn: str, journal: Journal) -> None:
    """A dead worker's claim names a job that it had given back and another runs."""
    async with client(dsn, journal, "newer") as c, client(dsn, journal, "newer") as other:
        await c.enqueue(2)
        dying, living = await c.worker(), await other.worker()
        old = await c.claim(dying, 2)
        await c.settle(*map(release, old[:1]))
        new = await other.claim(living, 1)
        await c.die(dying)
        await c.settle(*map(succeed, await c.claim(await c.worker(), 5)))
        await other.settle(*map(succeed, new))


async def crashes_are_counted(dsn: str, journal: Journal) -> None:
    async with client(dsn, journal, "crash") as c:
        await c.enqueue(2)
        for _ in range(4):
            worker = await c.worker()
            await c.claim(worker, 2)
            await c.die(worker)
        await c.enqueue(4)
        worker = await c.worker()
        await c.claim(worker, 4, started=1)
        await c.die(worker)
        await c.settle(*map(succeed, await c.claim(await c.worker(), 2)))


async def a_claim_is_settled_in_part(dsn: str, journal: Journal) -> None:
    async with client(dsn, journal, "part") as c:
        await c.enqueue(4)
        worker = await c.worker()
        jobs = await c.claim(worker, 4)
        await c.settle(*map(succeed, jobs[:1]))
        await c.die(worker)


async def a_straggler_commits_late(dsn: str, journal: Journal) -> None:
    """A position is drawn, younger ones are claimed and swept over, then it is committed."""
    async with (
        client(dsn, journal, "late") as c,
        await psycopg.AsyncConnection.connect(dsn) as slow,
    ):
        enqueue = "SELECT queueworker.enqueue('late', 'a')"
        await c.enqueue(1)
        row = await (await slow.execute(enqueue)).fetchone()
        await c.enqueue(3)
        worker = await c.worker()
        await c.settle(*map(succeed, await c.claim(worker, 9)))
        await c.sweep(4)
        await slow.commit()
        journal.committed += list(row or ())
        await c.sweep()
        await c.settle(*map(succeed, await c.claim(worker, 9)))


async def a_job_is_given_back_late(dsn: str, journal: Journal) -> None:
    """Its lane was swept over while it was held."""
    async with client(dsn, journal, "back") as c:
        await c.enqueue(3)
        worker = await c.worker()
        held = await c.claim(worker, 1)
        await c.settle(*map(succeed, await c.claim(worker, 2)))
        until_s = time.monotonic() + WAIT_S
        while await _floor(c) < max((job.pos for job in held), default=0):
            await c.sweep()
            if time.monotonic() > until_s:
                break
        await c.settle(*map(release, held))
        # The slow end of a handler that its drain had released.
        await c.settle(*map(succeed, held))
        await c.settle(*map(succeed, await c.claim(worker, 3)))


async def _floor(c: Client) -> int:
    floor = await c.e.one(
        "SELECT max(floor) FROM queueworker.lane WHERE queue_id = %s", c.e.queue.id
    )
    return int(floor or 0)


async def attempts_fail(dsn: str, journal: Journal) -> None:
    async with client(dsn, journal, "fail") as c:
        await c.enqueue(3)
        worker = await c.worker()
        for end in (retry, retry, bury):
            jobs = await c.claim(worker, 3)
            await c.settle(*map(end, jobs))
            await c.settle(*map(succeed, jobs))  # its zombie thread
            await c.sweep()
        await c.e.store.dead_retry("fail")
        await c.settle(*map(succeed, await c.claim(worker, 3)))


async def jobs_are_scheduled(dsn: str, journal: Journal) -> None:
    async with client(dsn, journal, "soon") as c:
        now = await c.e.one("SELECT clock_timestamp() + interval '50 ms'")
        await c.enqueue(3, run_at=now)
        await asyncio.sleep(0.06)
        await c.sweep()
        await c.settle(*map(succeed, await c.claim(await c.worker(), 3)))


async def one_worker_keeps_the_order(dsn: str, journal: Journal) -> None:
    async with client(dsn, journal, "order") as c:
        journal.strict_queues.add(c.e.queue.id)
        for task, priority in (("a", 0), ("b", 9), ("a", 5), ("c", 0), ("b", 9)):
            await c.enqueue(2, task, priority=priority)
        worker = await c.worker()
        while jobs := await c.claim(worker, 3):
            await c.settle(*map(succeed, jobs))


async def keys_are_contested(dsn: str, journal: Journal) -> None:
    async def produce(key: str) -> None:
        async with client(dsn, journal, "keys") as c:
            for job_id in await c.enqueue(1, unique_key=key):
                if job_id is not None:
                    journal.keys[job_id] = key

    await produce("one")
    await asyncio.gather(*(produce(key) for key in ("one", "two", "two", "three")))
    async with client(dsn, journal, "keys") as c:
        await c.settle(*map(succeed, await c.claim(await c.worker(), 9)))
    await produce("one")


async def handlers_complete_themselves(dsn: str, journal: Journal) -> None:
    """Completion in the handler's transaction: committed, rolled back, and under a stale token."""
    async with (
        client(dsn, journal, "own") as c,
        await psycopg.AsyncConnection.connect(dsn) as mine,
    ):
        await c.enqueue(3)
        first, second = await c.worker(), await c.worker()
        old = await c.claim(first, 1)
        await c.die(first)
        jobs = await c.claim(second, 3)
        for number, job in enumerate([*jobs[:2], *old]):
            await c.e.conn.execute(OUTSIDE, _columns([succeed(job)]))
            await c.effect(mine, [succeed(job)])
            try:
                await completion.complete_in(mine, c.e.queue, job.id, job.token)
            except StaleToken:
                await mine.rollback()
                continue
            if number == 1:
                await mine.rollback()
                continue
            await mine.commit()
            journal.writes.append(Write(Kind.SUCCEEDED, job.id, job.token))
        await c.settle(*map(succeed, jobs[1:]))


async def producers_roll_back(dsn: str, journal: Journal) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        for is_committed in (True, False, True, False):
            job_id = await producing.enqueue(conn, Job(task="a", queue="mine", args={}))
            if job_id is None:
                continue
            await (conn.commit() if is_committed else conn.rollback())
            (journal.committed if is_committed else journal.rolled_back).append(job_id)


async def everybody_at_once(dsn: str, journal: Journal) -> None:
    """Producers that roll back, claimers that race, stall and die, on one queue."""
    end_s = time.monotonic() + CHURN_S

    async def produce(seed: int) -> None:
        rng = random.Random(seed)
        async with await psycopg.AsyncConnection.connect(dsn) as conn:
            while time.monotonic() < end_s:
                cursor = await conn.execute(
                    "SELECT queueworker.enqueue('churn', %s, priority => %s)"
                    " FROM generate_series(1, %s)",
                    (rng.choice("abc"), rng.choice([0, 5]), rng.choice([1, 5])),
                )
                ids = [row[0] for row in await cursor.fetchall()]
                await asyncio.sleep(rng.uniform(0, 0.02))
                is_kept = rng.random() > 0.1
                await (conn.commit() if is_kept else conn.rollback())
                (journal.committed if is_kept else journal.rolled_back).extend(ids)

    async def work(seed: int) -> None:
        rng = random.Random(seed)
        async with client(dsn, journal, "churn") as c:
            worker = await c.worker()
            while time.monotonic() < end_s:
                jobs = await c.claim(worker, rng.choice([1, 5]))
                if rng.random() < 0.1:
                    await c.die(worker)
                    worker = await c.worker()
                ends = rng.choices([succeed, release, retry], [8, 1, 1], k=len(jobs))
                await c.settle(*(end(job) for end, job in zip(ends, jobs, strict=True)))
                await c.sweep()

    await asyncio.gather(*map(produce, range(2)), *map(work, range(2, 4)))


SCENES: Sequence[Scene] = (
    a_zombie_acknowledges,
    a_worker_meets_its_own_past,
    live_leases_are_left_alone,
    a_rescue_meets_a_newer_run,
    crashes_are_counted,
    a_claim_is_settled_in_part,
    a_straggler_commits_late,
    a_job_is_given_back_late,
    attempts_fail,
    jobs_are_scheduled,
    one_worker_keeps_the_order,
    keys_are_contested,
    handlers_complete_themselves,
    producers_roll_back,
    everybody_at_once,
)


async def run(dsn: str, journal: Journal) -> None:
    """Play all scenes at once, then drain what is left as long as that gets anywhere."""
    await asyncio.gather(*(scene(dsn, journal) for scene in SCENES))
    async with engine(dsn, "drain") as e:
        # The last zombies are dead: nobody acknowledges any more.
        await e.conn.execute("DELETE FROM queueworker.worker")
        queues = [name for (name,) in await e.all("SELECT name FROM queueworker.queue")]
        for name in queues:
            await drain(
                Client(Engine(conn=e.conn, store=e.store, queue=await e.store.queue(name)), journal)
            )


async def drain(c: Client) -> None:
    """Run what is left of a queue; two rounds without a job are the end."""
    idle = 0
    while idle < 2:
        await c.sweep(2)
        jobs = await c.claim(await c.worker(), 500)
        await c.settle(*map(succeed, jobs))
        idle = 0 if jobs else idle + 1
