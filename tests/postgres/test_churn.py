"""Producers that roll back, workers that die, zombies that come back: the contract holds."""

import asyncio
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
import pytest
from tests.support import history, postgres
from tests.support.engine import Engine, bury, engine, load, release, retry, succeed
from tests.support.gauntlet import Client, client, insist
from tests.support.history import ENDS, History, Journal, Kind, Place
from tests.support.postgres import Connection

from queueworker.compat import override
from queueworker.job import ClaimedJob, Transition

pytestmark = pytest.mark.postgres

CHURN_S = 8.0
DRAIN_S = 60.0
TTL_S = 1.0
# The longest that a job may wait beside an idle slot: a slow commit, a sweep a second, a busy machine.
BOUND_S = 6.0
TASKS = ("a", "b", "c")


@dataclass
class Run:
    """What the clients know."""

    journal: Journal = field(default_factory=Journal)
    deaths: int = 0
    claiming: bool = True


async def produce(dsn: str, seed: int, run: Run) -> None:
    rng, end = random.Random(seed), time.monotonic() + CHURN_S
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        while time.monotonic() < end:
            task = rng.choice(TASKS) if rng.random() < 0.97 else "unknown"
            delay_s = rng.uniform(0.05, 1.5) if rng.random() < 0.2 else None
            cursor = await conn.execute(
                "SELECT * FROM queueworker.enqueue_many('churn', %s,"
                " ARRAY(SELECT '{}'::jsonb FROM generate_series(1, %s)), priority => %s,"
                " run_at => clock_timestamp() + make_interval(secs => %s::float8))",
                (task, rng.choice([1, 5, 40]), rng.choice([0, 0, 5, 9]), delay_s),
            )
            ids = [row[0] for row in await cursor.fetchall()]
            if rng.random() < 0.1:
                await asyncio.sleep(rng.uniform(0.05, 0.8))  # a slow commit
            if rng.random() < 0.08:
                await conn.rollback()
                run.journal.rolled_back += ids
                continue
            await conn.commit()
            run.journal.committed += ids
            if task == "unknown":
                run.journal.left_alone.update(ids)
            await asyncio.sleep(rng.uniform(0, 0.02))


def choose(rng: random.Random, jobs: Sequence[ClaimedJob]) -> list[Transition]:
    changes = []
    for job in jobs:
        luck = rng.random()
        if luck < 0.08:
            changes.append(release(job))
        elif luck < 0.2:
            last = job.attempt - job.crash_count >= 3
            changes.append(bury(job) if last else retry(job, rng.choice([0.0, 0.05, 0.3])))
        else:
            changes.append(succeed(job))
    return changes


async def live(dsn: str, rng: random.Random, run: Run) -> list[asyncio.Task[None]]:
    """Be one worker until it dies; give its zombie, if it died holding jobs."""
    async with client(dsn, run.journal, "churn") as c:
        worker = await c.worker(TTL_S)
        dies_at, renew_at = time.monotonic() + rng.uniform(0.5, 3.0), 0.0
        while run.claiming:
            now = time.monotonic()
            if now >= renew_at:
                renew_at = now + TTL_S / 3
                if not (await c.e.store.renew(worker, TTL_S, load())).alive:
                    return []
                await sweep(c)
            jobs = await claim(c, worker, rng)
            if now > dies_at and jobs:
                run.deaths += 1
                return [asyncio.create_task(haunt(dsn, rng, jobs, run))]
            if rng.random() < 0.01:
                await asyncio.sleep(TTL_S * 1.5)  # stalls past its lease, then goes on
            if jobs:
                await c.settle(*choose(rng, jobs))
            else:
                await asyncio.sleep(0.02)
    return []


async def sweep(c: Client) -> None:
    lanes = await c.e.store.lanes(c.e.queue.id, TASKS)
    await insist(lambda: c.e.store.sweep(c.e.queue.id, [lane.id for lane in lanes]))


async def claim(c: Client, worker: uuid.UUID, rng: random.Random) -> list[ClaimedJob]:
    limit = rng.choice([1, 5, 50])
    if rng.random() > 0.03:
        return await c.claim(worker, limit)
    async with c.e.conn.transaction(force_rollback=True):
        await c.e.claim(worker, limit)  # killed inside its claim
    return []


async def haunt(dsn: str, rng: random.Random, jobs: Sequence[ClaimedJob], run: Run) -> None:
    """Come back from the dead, once others run the jobs, and acknowledge late."""
    async with client(dsn, run.journal, "churn") as c:
        query = "SELECT bool_or(token IN (0, %s)) FROM queueworker.job WHERE id = ANY (%s)"
        if rng.random() < 0.5:
            until = time.monotonic() + 10 * TTL_S
            while await c.e.one(query, jobs[0].token, [job.id for job in jobs]):
                await asyncio.sleep(0.1)
                if time.monotonic() > until:
                    break
        await c.settle(*choose(rng, jobs))


async def work(dsn: str, seed: int, run: Run) -> None:
    rng, zombies = random.Random(seed), []
    while run.claiming:
        zombies += await live(dsn, rng, run)
    await asyncio.gather(*zombies)


async def churn(dsn: str, run: Run) -> None:
    async with asyncio.TaskGroup() as group, engine(dsn, "churn") as e:
        workers = [group.create_task(work(dsn, 100 + n, run)) for n in range(3)]
        await asyncio.gather(*[produce(dsn, n, run) for n in range(3)])
        async with asyncio.timeout(DRAIN_S):
            while await left(e):  # noqa: ASYNC110  # the database tells nobody that it is empty
                await asyncio.sleep(0.1)
        run.claiming = False
        await asyncio.gather(*workers)


async def left(e: Engine) -> int:
    return int(
        await e.one(
            "SELECT count(*) FROM queueworker.jobs WHERE task <> 'unknown' AND state <> 'dead'"
        )
    )


@pytest.fixture(scope="module")
def churned(server: str, template: str) -> Iterator[tuple[Connection, Run, History]]:
    """Churn once; all tests look at what is left."""
    run = Run()
    with (
        postgres.fresh_database(server, template) as dsn,
        psycopg.connect(dsn, autocommit=True) as conn,
    ):
        history.record(conn)
        asyncio.run(churn(dsn, run))
        yield conn, run, history.read(conn, run.journal, bound_s=BOUND_S)


class LateLane(Engine):
    """An engine beside which a better lane opens right before each claim."""

    @override
    async def claim(
        self,
        worker_id: uuid.UUID,
        limit: int = 1,
        tasks: Sequence[str] = ("a", "b", "c"),
        started: int | None = None,
    ) -> list[ClaimedJob]:
        await self.enqueue(1, "b", priority=9)
        return await super().claim(worker_id, limit, tasks, started)


def test_the_checker_knows_a_lane_that_opens_right_before_a_claim(dsn: str) -> None:
    async def play() -> Sequence[Place]:
        async with engine(dsn, "churn") as e:
            late = Client(LateLane(conn=e.conn, store=e.store, queue=e.queue), Journal())
            await late.enqueue(1, "a", priority=5)
            await late.claim(await late.worker(), 2)
            return late.journal.handed[0]

    assert [place.priority for place in asyncio.run(play())] == [9, 5]


def test_the_delivery_contract_holds(churned: tuple[Connection, Run, History]) -> None:
    assert history.check(churned[2]) == []


def test_workers_died_and_zombies_were_turned_away(
    churned: tuple[Connection, Run, History],
) -> None:
    _, run, seen = churned

    # Without them the test of the contract would say nothing.
    assert run.deaths >= 1
    assert run.journal.refused > 0
    assert len(run.journal.committed) > 500
    assert run.journal.rolled_back
    assert {event.kind for event in seen.events} >= ENDS - {Kind.CANCELLED}


def test_no_ready_job_stands_below_a_floor_and_no_claim_is_left(
    churned: tuple[Connection, Run, History],
) -> None:
    conn = churned[0]
    conn.execute("UPDATE queueworker.worker SET expires_at = '-infinity'")
    # So many leases over at once may be the database's fault: the first look holds them, until then.
    conn.execute("SELECT queueworker.rescue()")
    conn.execute("SELECT queueworker.rescue()")
    left = [
        conn.execute(query).fetchone()
        for query in (
            (
                "SELECT count(*) FROM queueworker.job j JOIN queueworker.lane l ON l.id = j.lane_id"
                " WHERE j.token = 0 AND j.pos IS NOT NULL AND j.pos <= l.floor"
            ),
            "SELECT count(*) FROM queueworker.claim",
            "SELECT count(*) FROM queueworker.job WHERE token > 0",
        )
    ]

    assert left == [(0,), (0,), (0,)]
