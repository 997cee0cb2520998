"""A sweep raises a floor over what is proven gone, and over nothing else."""

import asyncio

import psycopg
import pytest
from tests.support.engine import AGE_SWEEPS, engine, release, retry, succeed
from tests.support.postgres import Connection, has_waiter
from tests.support.stillness import an_ended_job
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


def test_a_floor_never_passes_a_job_whose_transaction_is_still_open(dsn: str) -> None:
    async def scenario() -> tuple[list[bool], int]:
        async with engine(dsn) as e, await psycopg.AsyncConnection.connect(dsn) as slow:
            await e.enqueue(1)
            cursor = await slow.execute("SELECT queueworker.enqueue('mail', 'a')")
            late = (await cursor.fetchone() or (0,))[0]
            worker = await e.worker()
            await e.enqueue(20)
            below = []
            for _ in range(4):
                jobs = await e.claim(worker, 5)
                await e.store.complete(e.queue, [succeed(job) for job in jobs])
                below.append((await e.sweep())[0].floor < late)
            await slow.commit()
            (found,) = [job.id for job in await e.claim(worker, 100) if job.id == late]
            return below, found - late

    below, difference = asyncio.run(scenario())

    assert below == [True] * 4
    assert difference == 0


def test_a_floor_rises_once_everything_below_is_settled(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e:
            await e.enqueue(10)
            worker = await e.worker()
            jobs = await e.claim(worker, 9)
            await e.store.complete(e.queue, [succeed(job) for job in jobs])
            floors = [(await e.sweep())[0].floor for _ in range(3)]
            return max(floors), jobs[-1].pos

    floor, last = asyncio.run(scenario())

    assert floor == last


def test_released_retried_and_promoted_jobs_stand_above_the_floor(dsn: str) -> None:
    async def scenario() -> list[tuple[object, ...]]:
        async with engine(dsn) as e:
            await e.enqueue(6)
            worker = await e.worker()
            jobs = await e.claim(worker, 6)
            for _ in range(3):
                await e.sweep()
            await e.store.complete(e.queue, [*map(release, jobs[:3]), *map(retry, jobs[3:])])
            await e.sweep()
            await e.sweep()
            return await e.all(
                "SELECT count(*) FILTER (WHERE j.pos > l.floor)::int, count(*)::int"
                " FROM queueworker.job j JOIN queueworker.lane l ON l.id = j.lane_id"
                " WHERE j.token = 0 AND j.pos IS NOT NULL"
            )

    assert asyncio.run(scenario()) == [(6, 6)]


def test_a_sweep_in_a_transaction_that_has_an_id_proves_nothing_about_younger_ones(
    dsn: str, conn: Connection
) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'a')")
    conn.execute("DELETE FROM queueworker.job")
    (queue_id,) = conn.execute("SELECT id FROM queueworker.queue").fetchone() or (0,)

    def sweep(by: Connection) -> None:
        by.execute("UPDATE queueworker.queue SET swept_at = '-infinity'")
        by.execute("SELECT * FROM queueworker.sweep_queue(%s, '{}')", (queue_id,))

    with psycopg.connect(dsn) as old, psycopg.connect(dsn) as producer:
        old.execute("SELECT pg_current_xact_id()")
        producer.execute("SELECT queueworker.enqueue('mail', 'a')")
        sweep(old)
        old.commit()
        for _ in range(3):
            conn.execute("UPDATE queueworker.queue SET swept_at = '-infinity'")
            conn.execute("SELECT * FROM queueworker.sweep_queue(%s, '{}')", (queue_id,))
        producer.commit()

    below = conn.execute(
        "SELECT count(*) FROM queueworker.job AS j JOIN queueworker.lane AS l ON l.id = j.lane_id"
        " WHERE j.pos <= l.floor"
    ).fetchone()
    assert below == (0,)


OPERATORS_SWEEP = "SELECT queueworker.sweep(ARRAY['mail'])"


def test_the_operators_sweep_in_a_transaction_that_has_an_id_loses_no_job_that_commits_late(
    dsn: str,
) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e, engine(dsn) as tender, engine(dsn) as slow:
            await an_ended_job(e)
            async with slow.conn.transaction():
                async with tender.conn.transaction():
                    await tender.all("SELECT pg_current_xact_id()")
                    await slow.enqueue(1)
                    await e.enqueue(1)
                    await e.conn.execute(AGE_SWEEPS)
                    await tender.all(OPERATORS_SWEEP)
                jobs = await e.claim(await e.worker())
                await e.store.complete(e.queue, [succeed(job) for job in jobs])
                for _ in range(4):
                    await e.sweep()
            return [len(jobs), len(await e.claim(await e.worker()))]

    assert asyncio.run(scenario()) == [1, 1]


def test_a_job_drawn_while_the_operator_sweeps_stands_above_the_floor(
    dsn: str, conn: Connection
) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e, engine(dsn) as tender, engine(dsn) as slow:
            worker = await e.worker()
            await e.enqueue(5)
            await e.conn.execute(
                "UPDATE queueworker.worker SET renewed_at = now() + interval '1 min'"
            )
            async with await psycopg.AsyncConnection.connect(dsn) as holder:
                # The rescue at its start waits for this row, and has an id by then.
                await holder.execute("SELECT FROM queueworker.worker FOR UPDATE")
                await holder.execute(
                    "UPDATE queueworker.worker SET queues = '{}', busy_by_queue = '{}', held_by_queue = '{}'"
                )
                sweeping = asyncio.create_task(tender.all(OPERATORS_SWEEP))
                await asyncio.to_thread(
                    wait_until, lambda: has_waiter(conn), within_s=10, what="a sweep", every_s=0.02
                )
                async with slow.conn.transaction():
                    await slow.enqueue(1)
                    await holder.commit()
                    await sweeping
                    jobs = await e.claim(worker, 5)
                    await e.store.complete(e.queue, [succeed(job) for job in jobs])
                    for _ in range(4):
                        await e.conn.execute(AGE_SWEEPS)
                        await e.all(OPERATORS_SWEEP)
            below = "SELECT count(*) FROM queueworker.job AS j JOIN queueworker.lane AS l ON l.id = j.lane_id"
            return await e.one(f"{below} WHERE j.pos <= l.floor"), len(await e.claim(worker, 5))

    assert asyncio.run(scenario()) == (0, 1)


def test_floors_rise_without_any_worker(dsn: str) -> None:
    async def scenario() -> tuple[list[int], int]:
        async with engine(dsn, "news") as news, engine(dsn) as e:
            await news.enqueue(1)
            await e.enqueue(10)
            worker = await e.worker()
            jobs = await e.claim(worker, 9)
            await e.store.complete(e.queue, [succeed(job) for job in jobs])
            await e.store.deregister(worker)
            floor = "SELECT l.floor FROM queueworker.lane AS l WHERE l.queue_id = %s"
            floors = []
            for _ in range(4):
                await e.conn.execute(AGE_SWEEPS)
                await e.all("SELECT queueworker.sweep(ARRAY['news', 'mail'])")
                floors.append(await e.one(floor, e.queue.id))
            return floors, jobs[-1].pos

    floors, last = asyncio.run(scenario())

    assert floors[-1] == last
    assert floors == sorted(floors)
