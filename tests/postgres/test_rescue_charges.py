"""Which jobs of a dead worker are charged with its crash."""

import asyncio

import pytest
from tests.support.engine import die, engine

pytestmark = pytest.mark.postgres


def test_jobs_that_never_started_go_back_uncharged(dsn: str) -> None:
    async def scenario() -> list[tuple[int, int]]:
        async with engine(dsn) as e:
            ids = await e.enqueue(4)
            await die(e, 4, started=1)
            await e.store.rescue()
            jobs = {job.id: job for job in await e.claim(await e.worker(), 4)}
            return [(jobs[i].attempt, jobs[i].crash_count) for i in ids]

    assert asyncio.run(scenario()) == [(2, 1), (1, 0), (1, 0), (1, 0)]


def test_what_counts_as_started_can_be_raised_and_taken_back(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(4)
            worker = await e.worker()
            jobs = await e.claim(worker, 4, started=1)
            await e.store.mark_started(jobs[0].token, 3)
            await e.store.mark_started(jobs[0].token, 2)
            await e.expire(worker)
            await e.store.rescue()
            again = await e.claim(await e.worker(), 4)
            return sorted(job.crash_count for job in again)

    assert asyncio.run(scenario()) == [0, 0, 1, 1]


def test_suspects_in_a_claim_of_their_own_are_not_charged_with_it(dsn: str) -> None:
    async def scenario() -> tuple[dict[int, int], dict[str, int]]:
        async with engine(dsn) as e:
            ids = await e.enqueue(4)
            worker = await e.worker()
            jobs = await e.claim(worker, 4)
            token = await e.store.isolate([jobs[1], jobs[3]], started=2)
            assert token is not None
            assert token > jobs[0].token
            assert await e.store.isolate([jobs[1]], started=2) is None
            await e.store.mark_started(token, 1)
            await e.expire(worker)
            await e.store.rescue()
            rows = await e.all("SELECT id, crash_count FROM queueworker.job")
            return {ids.index(job_id): crashes for job_id, crashes in rows}, await e.states()

    crashes, states = asyncio.run(scenario())
    assert crashes == {0: 1, 1: 1, 2: 1, 3: 0}
    assert states == {"ready": 4}


def test_the_third_crash_makes_a_dead_letter(dsn: str) -> None:
    async def scenario() -> tuple[list[dict[str, int]], list[tuple[object, ...]], int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            states = []
            for _ in range(3):
                await die(e)
                await e.store.rescue()
                states.append(await e.states())
            letters = await e.all("SELECT attempt, crash_count, kind FROM queueworker.dead_job")
            crashes = await e.one("SELECT count(*) FROM queueworker.failure WHERE kind = 'crash'")
            return states, letters, crashes

    states, letters, crashes = asyncio.run(scenario())

    assert states == [{"ready": 1}, {"ready": 1}, {"dead": 1}]
    assert letters == [(3, 3, "crash")]
    assert crashes == 3
