"""A queue that stands still is swept for nothing, until something enters it."""

import asyncio
from dataclasses import replace

import pytest
from tests.support.engine import AGE_SWEEPS, engine, release, retry
from tests.support.stillness import an_ended_job, ready_after_sweeps, sweeps_in_full, until_still

pytestmark = pytest.mark.postgres

LATER = "UPDATE queueworker.job SET run_at = run_at - interval '{}' WHERE pos IS NULL"


def test_a_sweep_of_a_queue_that_stands_still_writes_nothing(dsn: str) -> None:
    rows = "SELECT q::text, p::text, q.xmin::text, p.xmin::text FROM queueworker.queue AS q JOIN queueworker.queue_lag_published AS p ON p.queue_id = q.id"

    async def scenario() -> bool:
        async with engine(dsn) as e:
            await an_ended_job(e)
            lanes = [row[0] for row in await e.all("SELECT id FROM queueworker.lane")]
            await e.all("SELECT queueworker.rescue()")
            await e.conn.execute(AGE_SWEEPS)
            before = await e.all(rows)
            (swept,) = await e.store.sweep(e.queue.id, lanes)
            assert swept.floor == await e.one("SELECT floor FROM queueworker.lane")
            return before == await e.all(rows)

    assert asyncio.run(scenario())


def test_a_queue_that_stands_still_is_looked_at_in_full_twice_a_minute(dsn: str) -> None:
    async def scenario() -> list[bool]:
        async with engine(dsn) as e:
            await an_ended_job(e)
            await e.conn.execute(
                "UPDATE queueworker.queue SET swept_at = clock_timestamp() - interval '31 s'"
            )
            return [await sweeps_in_full(e), await sweeps_in_full(e)]

    assert asyncio.run(scenario()) == [True, False]


@pytest.mark.parametrize("own", [False, True], ids=["common table", "own table"])
def test_a_job_that_comes_due_in_a_still_queue_is_promoted(dsn: str, own: bool) -> None:
    async def scenario() -> tuple[tuple[int, int], tuple[int, int]]:
        async with engine(dsn) as opened:
            if own:
                await opened.all("SELECT queueworker.queue_create('mail')")
            e = replace(opened, queue=await opened.store.queue("mail"))
            await an_ended_job(e)
            await e.all(
                "SELECT queueworker.enqueue('mail', 'a', run_at => clock_timestamp() + '1 hour')"
                " FROM generate_series(1, 3)"
            )
            await until_still(e)
            before = await ready_after_sweeps(e)
            await e.conn.execute(LATER.format("1 hour"))
            return before, await ready_after_sweeps(e)

    assert asyncio.run(scenario()) == ((0, 0), (3, 3))


def test_a_retry_in_a_still_queue_is_promoted_when_it_is_due(dsn: str) -> None:
    async def scenario() -> tuple[int, tuple[int, int]]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            (job,) = await e.claim(await e.worker())
            await until_still(e)
            await e.store.complete(e.queue, [retry(job, 1000.0)])
            await until_still(e)
            scheduled = (await e.lag()).scheduled
            await e.conn.execute(LATER.format("1000 s"))
            return scheduled, await ready_after_sweeps(e)

    assert asyncio.run(scenario()) == (1, (1, 1))


def test_a_due_job_that_commits_late_in_a_still_queue_is_promoted(dsn: str) -> None:
    async def scenario() -> list[tuple[int, int]]:
        async with engine(dsn) as e, engine(dsn) as slow:
            await an_ended_job(e)
            async with slow.conn.transaction():
                await slow.all(
                    "SELECT queueworker.enqueue('mail', 'a', run_at => clock_timestamp() + '10 ms')"
                )
                await until_still(e)
                await e.all("SELECT pg_sleep(0.02)")
                found = [await ready_after_sweeps(e)]
            # Younger ones were promoted meanwhile; it is time to look at the whole index again.
            await e.conn.execute(
                "UPDATE queueworker.queue SET due_from = clock_timestamp(), due_full_at = clock_timestamp()"
            )
            return [*found, await ready_after_sweeps(e)]

    assert asyncio.run(scenario()) == [(0, 0), (1, 1)]


def test_what_enters_a_still_queue_is_noticed_by_the_next_sweep(dsn: str) -> None:
    async def scenario() -> dict[str, tuple[int, int]]:
        found = {}
        async with engine(dsn) as e, engine(dsn) as slow:
            await an_ended_job(e)
            async with slow.conn.transaction():
                await slow.enqueue(2)
                assert all([await sweeps_in_full(e) for _ in range(4)])
            found["a late commit"] = await ready_after_sweeps(e)
            assert await e.claim(await e.worker()) == []
            await e.enqueue(1)
            (job,) = await e.claim(await e.worker())
            await until_still(e)
            await e.store.complete(e.queue, [release(job)])
            found["a release"] = await ready_after_sweeps(e)
            await e.enqueue(1)
            dying = await e.worker()
            await e.claim(dying)
            await until_still(e)
            await e.expire(dying)
            await e.conn.execute("UPDATE queueworker.rescue_state SET looked_at = '-infinity'")
            found["a rescue"] = await ready_after_sweeps(e)
            return found

    found = asyncio.run(scenario())

    assert found == {"a late commit": (2, 2), "a release": (1, 1), "a rescue": (1, 1)}


def test_a_paused_queue_with_jobs_does_not_stand_still_and_says_what_waits(dsn: str) -> None:
    async def scenario() -> tuple[bool, int]:
        async with engine(dsn) as e:
            await an_ended_job(e)
            await e.all("SELECT queueworker.queue_pause('mail', true)")
            await e.enqueue(3)
            for _ in range(4):
                await e.sweep()
            # Jobs may leave without a sequence's notice.
            await e.conn.execute(
                "DELETE FROM queueworker.job WHERE id = (SELECT min(id) FROM queueworker.job)"
            )
            return await sweeps_in_full(e), (await e.lag()).ready

    assert asyncio.run(scenario()) == (True, 2)


def test_a_still_queue_is_swept_again_after_the_clock_was_set_back(dsn: str) -> None:
    async def scenario() -> tuple[bool, bool]:
        async with engine(dsn) as e:
            await an_ended_job(e)
            await e.conn.execute(
                "UPDATE queueworker.queue SET swept_at = clock_timestamp() + interval '1 hour'"
            )
            lanes = [row[0] for row in await e.all("SELECT id FROM queueworker.lane")]
            await e.store.sweep(e.queue.id, lanes)
            swept_at = "SELECT swept_at <= clock_timestamp() FROM queueworker.queue"
            return await e.one(swept_at), await sweeps_in_full(e)

    assert asyncio.run(scenario()) == (True, False)


def test_a_still_queue_keeps_what_is_scheduled_through_its_move(dsn: str) -> None:
    async def scenario() -> tuple[int, tuple[int, int]]:
        async with engine(dsn) as e:
            await an_ended_job(e)
            await e.all("SELECT queueworker.enqueue('mail', 'a', run_at => now() + '1 hour')")
            await until_still(e)
            async for _ in e.store.queue_move("mail", own=True):
                pass
            moved = replace(e, queue=await e.store.queue("mail"))
            assert moved.queue.id != e.queue.id
            await until_still(moved)
            scheduled = (await moved.lag()).scheduled
            await moved.enqueue(2)
            await e.conn.execute(LATER.format("1 hour"))
            return scheduled, await ready_after_sweeps(moved)

    assert asyncio.run(scenario()) == (1, (3, 3))
