"""Counters stay whole while a sweep rolls them up."""

import asyncio

import pytest
from tests.support.engine import engine, succeed

pytestmark = pytest.mark.postgres


def test_counters_are_the_same_before_and_after_they_are_rolled_up(dsn: str) -> None:
    async def scenario() -> tuple[list[tuple[int, int, int]], int]:
        async with engine(dsn) as e:
            worker = await e.worker()
            seen = []
            for round_ in range(5):
                await e.enqueue(10)
                jobs = await e.claim(worker, 10)
                await e.store.complete(e.queue, [succeed(job) for job in jobs])
                before = (await e.lag()).succeeded_total
                await e.sweep()
                seen.append((10 * (round_ + 1), before, (await e.lag()).succeeded_total))
            for _ in range(2):
                await e.sweep()
            return seen, await e.one("SELECT count(*) FROM queueworker.stat")

    seen, left = asyncio.run(scenario())

    assert all(expected == before == after for expected, before, after in seen)
    assert left == 0


def test_a_completion_that_commits_late_is_still_counted(dsn: str) -> None:
    async def scenario() -> int:
        async with engine(dsn) as e, engine(dsn) as slow:
            await e.enqueue(10)
            worker = await e.worker()
            jobs = await e.claim(worker, 10)
            async with slow.conn.transaction():
                await slow.store.complete(e.queue, [succeed(job) for job in jobs[:5]])
                for job in jobs[5:]:
                    await e.store.complete(e.queue, [succeed(job)])
                    await e.sweep()
            for _ in range(4):
                await e.sweep()
            return (await e.lag()).succeeded_total

    assert asyncio.run(scenario()) == 10
