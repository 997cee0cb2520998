"""Beyond the cap the count is near, and stays near whatever happens to the backlog."""

import asyncio
import random
from dataclasses import replace

import psycopg
import pytest
from tests.support.backlog import bulk, rolled_back
from tests.support.engine import bury, engine, release, retry, succeed

from queueworker.store import LagRow

pytestmark = pytest.mark.postgres


def test_beyond_the_cap_the_count_is_near_and_says_so(dsn: str) -> None:
    async def scenario() -> tuple[LagRow, LagRow, LagRow]:
        async with engine(dsn) as e:
            await bulk(e, 1999)
            exact = await e.lag()
            await bulk(e, 8001)
            estimated = await e.lag()
            worker = await e.worker()
            for _ in range(4):
                jobs = await e.claim(worker, 1000)
                await e.store.complete(e.queue, [succeed(job) for job in jobs])
            return exact, estimated, await e.lag()

    exact, estimated, later = asyncio.run(scenario())

    assert (exact.ready, exact.ready_is_exact) == (1999, True)
    assert (estimated.ready, estimated.ready_is_exact) == (10_000, False)
    assert (later.ready, later.ready_is_exact) == (6_000, False)
    assert later.ready_by_task == {"a": 6_000}


def test_rolled_back_enqueues_stop_counting_once_the_queue_has_been_empty(dsn: str) -> None:
    async def scenario() -> int:
        async with engine(dsn) as e:
            await e.enqueue(1)
            async with await psycopg.AsyncConnection.connect(dsn) as mine:
                await mine.execute(
                    "SELECT count(*) FROM queueworker.enqueue_many('mail', 'a',"
                    " ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 5000)))"
                )
                await mine.rollback()
            (job,) = await e.claim(await e.worker(), 10)
            await e.store.complete(e.queue, [succeed(job)])
            for _ in range(3):
                await e.sweep()
            await bulk(e, 3000)
            return (await e.lag()).ready

    assert asyncio.run(scenario()) == 3000


def test_a_bulk_load_that_was_open_while_the_queue_was_empty_counts_in_full(dsn: str) -> None:
    async def scenario() -> int:
        async with engine(dsn) as e, engine(dsn) as producer:
            await e.enqueue(1)
            (job,) = await e.claim(await e.worker())
            await e.store.complete(e.queue, [succeed(job)])
            async with producer.conn.transaction():
                await bulk(producer, 5000)
                for _ in range(3):
                    await e.sweep()
            return (await e.lag()).ready

    assert asyncio.run(scenario()) == 5000


def test_the_count_of_a_long_backlog_stays_within_2_percent_under_churn(dsn: str) -> None:
    errors = asyncio.run(churned(dsn))

    assert len(errors) == 30
    assert max(errors) < 0.02


async def churned(dsn: str) -> list[float]:
    """Give the relative errors of the count, beyond 2,000, through 30 rounds of everything."""
    chance = random.Random(7)
    errors = []
    async with engine(dsn) as e, engine(dsn) as other:
        for task in ("a", "b"):
            await bulk(e, 6000, task)
        for _ in range(30):
            for task in ("a", "b"):
                await bulk(e, chance.randrange(500, 2000), task)
            await rolled_back(other, chance.randrange(2000, 4000))
            worker = await e.worker()
            jobs = await e.claim(worker, chance.randrange(500, 2500))
            kinds = [succeed, succeed, retry, release, bury]
            ended = jobs[: len(jobs) * 2 // 3]
            await e.store.complete(e.queue, [chance.choice(kinds)(job) for job in ended])
            await e.expire(worker)
            await e.store.rescue()
            await e.sweep()
            await bulk(e, chance.randrange(100, 300))
            await e.claim(await e.worker(), 100)
            real = await e.one(
                "SELECT count(*) FROM queueworker.job WHERE token = 0"
                " AND (pos IS NOT NULL OR run_at <= clock_timestamp())"
            )
            row = await e.lag()
            assert real > 2000
            assert not row.ready_is_exact
            assert sum(row.ready_by_task.values()) == pytest.approx(row.ready, abs=3)
            errors.append(abs(row.ready - real) / real)
    return errors


def test_jobs_that_leave_the_middle_of_a_long_backlog_are_noticed(dsn: str) -> None:
    async def scenario() -> tuple[int, float]:
        async with engine(dsn) as e:
            await bulk(e, 40_000)
            for _ in range(3):
                await e.sweep()
            before = (await e.lag()).ready
            await e.conn.execute("DELETE FROM queueworker.job WHERE id % 40000 > 20000")
            for _ in range(25):  # one stretch a sweep
                await e.sweep()
            left = await e.one("SELECT count(*) FROM queueworker.job")
            return before, (await e.lag()).ready / left

    before, share = asyncio.run(scenario())

    assert before == 40_000
    assert share == pytest.approx(1, abs=0.02)


def test_a_hole_of_a_rolled_back_load_is_not_counted_among_the_waiting(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await bulk(e, 10_000)
            await rolled_back(e, 30_000)
            await bulk(e, 10_000)
            for _ in range(3):
                await e.sweep()
            counts = [(await e.lag()).ready]
            worker = await e.worker()
            for _ in range(15):
                jobs = await e.claim(worker, 1000)
                await e.store.complete(e.queue, [succeed(job) for job in jobs])
                await e.sweep()
            return [*counts, (await e.lag()).ready]

    assert asyncio.run(scenario()) == pytest.approx([20_000, 5_000], rel=0.02)


def test_what_was_rolled_back_since_a_sweep_is_not_told_of_a_long_backlog(dsn: str) -> None:
    async def scenario() -> list[tuple[int, bool]]:
        async with engine(dsn) as e:
            await bulk(e, 10_000)
            for _ in range(3):
                await e.sweep()
            await rolled_back(e, 1000)
            await bulk(e, 500)
            await e.claim(await e.worker(), 200)
            told = [await e.lag()]
            # Too many to count: they are told as drawn, until the next sweep.
            await bulk(e, 6000)
            await e.conn.execute("DELETE FROM queueworker.job WHERE token > 0")
            return [(row.ready, row.ready_is_exact) for row in [*told, await e.lag()]]

    assert asyncio.run(scenario()) == [(10_300, False), (17_300, False)]


def test_a_long_backlog_keeps_its_count_through_a_move_of_its_queue(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await bulk(e, 9000)
            for _ in range(3):
                await e.sweep()
            async for _ in e.store.queue_move("mail", own=True):
                pass
            moved = await e.store.queue("mail")
            await bulk(e, 1000)
            counts = [(await e.lag()).ready]
            for _ in range(3):
                await replace(e, queue=moved).sweep()
            return [*counts, (await e.lag()).ready]

    assert asyncio.run(scenario()) == [10_000, 10_000]
