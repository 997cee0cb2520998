"""What has happened since the last sweep is told all the same."""

import asyncio

import pytest
from tests.support.engine import engine, retry
from tests.support.postgres import Connection

from queueworker.job import Transition, TransitionKind
from queueworker.store import LagRow

pytestmark = pytest.mark.postgres

PUBLISHED_LONG_AGO = (
    "UPDATE queueworker.queue_lag_published SET published_at = published_at - interval '1 min'"
)


def test_a_settled_job_closes_its_claim_without_a_second_write(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            (job,) = await e.claim(await e.worker())
            await e.conn.execute("DELETE FROM queueworker.job")
            settled = Transition(job_id=job.id, token=job.token, kind=TransitionKind.SETTLED)
            refused = await e.store.complete(e.queue, [settled])
            return len(refused), await e.one("SELECT count(*) FROM queueworker.claim")

    assert asyncio.run(scenario()) == (0, 0)


def test_a_settled_queue_is_read_without_a_look_at_its_jobs(dsn: str, conn: Connection) -> None:
    async def scenario() -> LagRow:
        async with engine(dsn) as e, engine(dsn) as reader:
            await e.enqueue(7)
            await e.claim(await e.worker(), 2)
            for _ in range(3):
                await e.sweep()
            await reader.lag()
            with conn.transaction():
                conn.execute("LOCK TABLE queueworker.job_default IN ACCESS EXCLUSIVE MODE")
                return await asyncio.wait_for(reader.lag(), 5)

    row = asyncio.run(scenario())

    assert (row.ready, row.ready_is_exact, row.ready_by_task) == (5, True, {"a": 5})


def test_a_job_that_commits_after_the_count_is_not_overlooked(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e, engine(dsn) as slow:
            await e.enqueue(1)
            async with slow.conn.transaction():
                await slow.enqueue(2)
                for _ in range(3):
                    await e.sweep()
                counts = [(await e.lag()).ready]
            return [*counts, (await e.lag()).ready]

    assert asyncio.run(scenario()) == [1, 3]


def test_a_claim_that_commits_or_fails_after_the_count_is_not_overlooked(dsn: str) -> None:
    async def scenario(*, rolls_back: bool) -> list[int]:
        async with engine(dsn) as e, engine(dsn) as slow:
            await e.enqueue(5)
            worker = await e.worker()
            for _ in range(3):
                await e.sweep()
            async with slow.conn.transaction(force_rollback=rolls_back):
                await slow.claim(worker, 2)
                for _ in range(3):
                    await e.sweep()
                counts = [(await e.lag()).ready]
            counts.append((await e.lag()).ready)
            for _ in range(3):
                await e.sweep()
            return [*counts, (await e.lag()).ready]

    assert asyncio.run(scenario(rolls_back=True)) == [5, 5, 5]
    # Of the five jobs of the first round, two more are claimed in the second.
    assert asyncio.run(scenario(rolls_back=False)) == [10, 8, 8]


def test_a_retry_shows_as_scheduled_at_once_after_a_sweep(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            (job,) = await e.claim(await e.worker())
            for _ in range(3):
                await e.sweep()
            await e.conn.execute(PUBLISHED_LONG_AGO)
            await e.store.complete(e.queue, [retry(job, 100.0)])
            row = await e.lag()
            return [row.ready, row.scheduled, row.due_300s]

    assert asyncio.run(scenario()) == [0, 1, 1]


def test_a_scheduled_job_that_came_due_counts_as_ready_though_nobody_sweeps(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e:
            await e.all(
                "SELECT queueworker.enqueue('mail', 'a', run_at => clock_timestamp() + '1 s')"
            )
            for _ in range(3):
                await e.sweep()
            before = await e.lag()
            await e.all(
                "SELECT pg_sleep(extract(epoch FROM run_at - clock_timestamp()) + 0.01)"
                " FROM queueworker.job"
            )
            return before.ready, (await e.lag()).ready

    assert asyncio.run(scenario()) == (0, 1)


def test_what_is_scheduled_in_a_queue_at_rest_is_told_before_its_next_sweep(dsn: str) -> None:
    later = "SELECT queueworker.enqueue(%s, 'a', run_at => clock_timestamp() + interval '1 hour')"

    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            await e.conn.execute("DELETE FROM queueworker.job")
            told = []
            for queue in ("mail", "news", "mail", "news", "mail"):
                for _ in range(4):
                    await e.sweep()
                await e.conn.execute(PUBLISHED_LONG_AGO)
                await e.all(later, queue)
                told.append((await e.lag()).scheduled)
            return told

    assert asyncio.run(scenario()) == [1, 1, 2, 2, 3]
