"""A queue where jobs came and none was claimed: a reader counts the newcomers alone, exactly."""

import asyncio
import random
import threading
import uuid

import psycopg
import pytest
from tests.support.engine import Engine, engine, release, succeed

from queueworker.schema import migrate, migrations
from queueworker.store import LagRow

pytestmark = pytest.mark.postgres

BEFORE = 17
# Nothing that a claim or a cancellation does: the reader cannot notice it before the next sweep.
VANISH = "DELETE FROM queueworker.job WHERE id = %s RETURNING id"
READ = "SELECT ready FROM queueworker.queue_lag(ARRAY['mail'])"
READY = "SELECT count(*) FROM queueworker.job WHERE pos IS NOT NULL AND token = 0"

FIRST_FREE = """
    SELECT id FROM queueworker.job WHERE pos IS NOT NULL AND token = 0
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""


async def settle(e: Engine) -> None:
    for _ in range(3):
        await e.sweep()


def test_what_was_settled_is_not_counted_again_and_newcomers_are(dsn: str) -> None:
    async def scenario() -> tuple[LagRow, LagRow]:
        async with engine(dsn) as e:
            [first, *_] = await e.enqueue(40)
            await settle(e)
            await e.enqueue(2, task="b")
            await e.all(VANISH, first)
            read = await e.lag()
            await e.sweep()
            return read, await e.lag()

    read, after = asyncio.run(scenario())

    assert (read.ready, read.ready_is_exact) == (42, True)
    assert read.ready_by_task == {"a": 40, "b": 2}
    assert (after.ready, after.ready_by_task) == (41, {"a": 39, "b": 2})


def test_the_oldest_may_be_settled_or_a_newcomer(dsn: str) -> None:
    older = "UPDATE queueworker.job SET run_at = run_at - %s * interval '1 s' WHERE id = %s RETURNING id"

    async def scenario() -> tuple[float, float]:
        async with engine(dsn) as e:
            [settled] = await e.enqueue()
            await e.all(older, 60, settled)
            await settle(e)
            [newcomer] = await e.enqueue()
            by_settled = (await e.lag()).oldest_ready_age_s
            await e.all(older, 90, newcomer)
            return by_settled, (await e.lag()).oldest_ready_age_s

    by_settled, by_newcomer = asyncio.run(scenario())

    assert by_settled == pytest.approx(60, abs=5)
    assert by_newcomer == pytest.approx(90, abs=5)


def test_a_cancellation_shows_beside_newcomers(dsn: str) -> None:
    async def scenario() -> int:
        async with engine(dsn) as e:
            [first, *_] = await e.enqueue(5)
            await settle(e)
            await e.enqueue(1)
            await e.one("SELECT queueworker.cancel(%s)", first)
            return (await e.lag()).ready

    assert asyncio.run(scenario()) == 5


class Work:
    """Random work of one queue on two connections; after each step the reading is checked."""

    def __init__(self, seed: int, e: Engine, slow: Engine, worker: uuid.UUID) -> None:
        self.chance = random.Random(seed)
        self.e, self.slow, self.worker = e, slow, worker

    async def beside_an_open_transaction(self) -> None:
        async with self.slow.conn.transaction(force_rollback=self.chance.random() < 0.4):
            for _ in range(self.chance.randrange(3)):
                await self.enqueue(self.slow)
            if self.chance.random() < 0.5:
                await self.slow.claim(self.worker, self.chance.randrange(1, 4))
            for _ in range(self.chance.randrange(5)):
                await self.step()
                await self.check()
        await self.check()

    async def step(self) -> None:
        match self.chance.choices(("sweep", "enqueue", "claim", "cancel"), (3, 2, 1, 1))[0]:
            case "sweep":
                await self.e.sweep()
            case "enqueue":
                await self.enqueue(self.e)
            case "claim":
                jobs = await self.e.claim(self.worker, self.chance.randrange(1, 4))
                ends = [self.chance.choice((succeed, release))(job) for job in jobs]
                await self.e.store.complete(self.e.queue, ends)
            case _:
                for (job_id,) in await self.e.all(FIRST_FREE):
                    await self.e.one("SELECT queueworker.cancel(%s)", job_id)

    async def enqueue(self, e: Engine) -> None:
        await e.enqueue(self.chance.randrange(1, 5), task=self.chance.choice("ab"))

    async def check(self) -> None:
        row = await self.e.lag()
        assert (row.ready, row.ready_is_exact) == (await self.e.one(READY), True)
        assert sum(row.ready_by_task.values()) == row.ready


@pytest.mark.parametrize("seed", range(4))
def test_the_count_is_exact_whatever_is_open_rolled_back_given_back_or_done(
    dsn: str, seed: int
) -> None:
    async def scenario() -> None:
        async with engine(dsn) as e, engine(dsn) as slow:
            work = Work(seed, e, slow, await e.worker())
            await e.enqueue(20)
            await e.enqueue(1, task="b")  # makes its lane
            for _ in range(30):
                await work.beside_an_open_transaction()

    asyncio.run(scenario())


def test_sweeps_and_readings_go_on_while_the_schema_changes(empty_dsn: str) -> None:
    """Sessions whose plans and row types are those of before; the queue is full, so all is counted."""
    stop = threading.Event()
    failed: list[Exception] = []
    rounds: list[int] = []

    def work() -> None:
        with psycopg.connect(empty_dsn, autocommit=True) as conn:
            while not stop.is_set():
                try:
                    conn.execute("UPDATE queueworker.queue SET swept_at = now() - interval '1 s'")
                    conn.execute("SELECT * FROM queueworker.sweep_queue(%s, '{}')", (queue,))
                    [ready] = conn.execute(READ).fetchone() or (0,)
                    rounds.append(ready)
                    conn.execute("SELECT queueworker.enqueue('mail', 'a')")
                except psycopg.Error as error:
                    failed.append(error)

    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        migrate(conn, files_=migrations()[:BEFORE])
        conn.execute("SELECT queueworker.enqueue('mail', 'a') FROM generate_series(1, 300)")
        [queue] = conn.execute("SELECT id FROM queueworker.queue").fetchone() or (0,)
        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        while len(rounds) < 30:
            stop.wait(0.01)
        migrate(conn, files_=migrations()[: BEFORE + 1])
        seen = len(rounds)
        while len(rounds) < seen + 60:
            stop.wait(0.01)
        stop.set()
        for worker in workers:
            worker.join()
        ready = conn.execute(READ).fetchone()
        exact = conn.execute(READY).fetchone()

    assert (failed, ready) == ([], exact)
