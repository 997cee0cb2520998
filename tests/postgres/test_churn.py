"""Producers that roll back, workers that die, zombies that come back: the contract holds."""

import asyncio
import random
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
import pytest
from tests.support import history, ledger, postgres
from tests.support.engine import Engine, bury, engine, load, release, retry, succeed
from tests.support.history import Event, Kind
from tests.support.postgres import Connection

from queueworker.job import ClaimedJob, Transition, TransitionKind

pytestmark = pytest.mark.postgres

CHURN_S = 8.0
DRAIN_S = 40.0
TTL_S = 1.0
TASKS = ("a", "b", "c")
KINDS = {
    TransitionKind.SUCCEED: Kind.SUCCEEDED,
    TransitionKind.RETRY: Kind.FAILED,
    TransitionKind.DEAD: Kind.DEAD,
    TransitionKind.RELEASE: Kind.RELEASED,
}


@dataclass
class Tally:
    """What the clients know."""

    committed: list[int] = field(default_factory=list)
    unknown_task: set[int] = field(default_factory=set)
    accepted: list[Event] = field(default_factory=list)
    refused: int = 0
    deaths: int = 0
    producing: bool = True
    claiming: bool = True


async def produce(dsn: str, seed: int, tally: Tally) -> None:
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
                continue
            await conn.commit()
            tally.committed += ids
            if task == "unknown":
                tally.unknown_task.update(ids)
            await asyncio.sleep(rng.uniform(0, 0.02))


async def settle(e: Engine, changes: Sequence[Transition], tally: Tally) -> None:
    """Complete with the effect in the same transaction: it must happen once per success."""
    async with e.conn.transaction():
        refused = await e.store.complete(e.queue, changes)
        taken = [item for item in changes if (item.job_id, item.token) not in refused]
        done = [item for item in taken if item.kind is TransitionKind.SUCCEED]
        await e.conn.execute(
            "INSERT INTO ledger (job_id, attempt, token, note)"
            " SELECT *, 'done' FROM unnest(%s::bigint[], %s::int[], %s::bigint[])",
            ([i.job_id for i in done], [0] * len(done), [i.token for i in done]),
        )
    tally.refused += len(refused)
    tally.accepted += [Event(KINDS[item.kind], item.job_id, item.token) for item in taken]


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


async def live(dsn: str, rng: random.Random, tally: Tally) -> list[asyncio.Task[None]]:
    """Be one worker until it dies; give its zombie, if it died holding jobs."""
    async with engine(dsn, "churn") as e:
        worker = await e.worker(ttl_s=TTL_S, tasks=TASKS)
        dies_at, renew_at = time.monotonic() + rng.uniform(0.5, 3.0), 0.0
        while tally.claiming:
            now = time.monotonic()
            if now >= renew_at:
                renew_at = now + TTL_S / 3
                if not (await e.store.renew(worker, TTL_S, load())).alive:
                    return []
                lanes = await e.store.lanes(e.queue.id, TASKS)
                await e.store.sweep(e.queue.id, [lane.id for lane in lanes])
            jobs = await claim(e, worker, rng)
            if now > dies_at and jobs:
                tally.deaths += 1
                return [asyncio.create_task(haunt(dsn, rng, jobs, tally))]
            if rng.random() < 0.01:
                await asyncio.sleep(TTL_S * 1.5)  # stalls past its lease, then goes on
            if jobs:
                await settle(e, choose(rng, jobs), tally)
            else:
                await asyncio.sleep(0.02)
    return []


async def claim(e: Engine, worker: uuid.UUID, rng: random.Random) -> list[ClaimedJob]:
    limit = rng.choice([1, 5, 50])
    if rng.random() > 0.03:
        return await e.claim(worker, limit)
    async with e.conn.transaction(force_rollback=True):
        await e.claim(worker, limit)  # killed inside its claim
    return []


async def haunt(dsn: str, rng: random.Random, jobs: Sequence[ClaimedJob], tally: Tally) -> None:
    """Come back from the dead and acknowledge late."""
    await asyncio.sleep(rng.uniform(0.5, 2.5) * TTL_S)
    async with engine(dsn, "churn") as e:
        await settle(e, choose(rng, jobs), tally)


async def work(dsn: str, seed: int, tally: Tally) -> None:
    rng, zombies = random.Random(seed), []
    while tally.claiming:
        zombies += await live(dsn, rng, tally)
    await asyncio.gather(*zombies)


async def churn(dsn: str, tally: Tally) -> None:
    async with asyncio.TaskGroup() as group, engine(dsn, "churn") as e:
        workers = [group.create_task(work(dsn, 100 + n, tally)) for n in range(3)]
        await asyncio.gather(*[produce(dsn, n, tally) for n in range(3)])
        async with asyncio.timeout(DRAIN_S):
            while await left(e):  # noqa: ASYNC110  # the database tells nobody that it is empty
                await asyncio.sleep(0.1)
        await asyncio.sleep(2.6 * TTL_S)  # the last zombies
        tally.claiming = False
        await asyncio.gather(*workers)


async def left(e: Engine) -> int:
    return int(
        await e.one(
            "SELECT count(*) FROM queueworker.jobs WHERE task <> 'unknown' AND state <> 'dead'"
        )
    )


@pytest.fixture(scope="module")
def churned(server: str, template: str) -> Iterator[tuple[Connection, Tally]]:
    """Churn once; both tests look at what is left."""
    tally = Tally()
    with (
        postgres.fresh_database(server, template) as dsn,
        psycopg.connect(dsn, autocommit=True) as conn,
    ):
        ledger.create(conn)
        history.record(conn)
        asyncio.run(churn(dsn, tally))
        yield conn, tally


def test_no_job_is_lost_or_ended_twice_and_no_stale_write_is_accepted(
    churned: tuple[Connection, Tally],
) -> None:
    conn, tally = churned
    log = history.read(conn)
    dead = [job_id for (job_id,) in conn.execute("SELECT id FROM queueworker.dead_job")]
    ended = ledger.reconcile(tally.committed, [*ledger.read(conn), *dead, *tally.unknown_task])

    assert history.check(log, tally.accepted, tally.unknown_task) == []
    assert ended.is_clean, ended
    assert ended.jobs > 500
    # The test says nothing unless workers died and zombies were turned away.
    assert tally.deaths >= 3
    assert tally.refused > 0
    assert {event.kind for event in log} == set(Kind)


def test_no_ready_job_stands_below_a_floor_and_no_claim_is_left(
    churned: tuple[Connection, Tally],
) -> None:
    conn, _ = churned
    conn.execute("UPDATE queueworker.worker SET expires_at = '-infinity'")
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
