"""Floors beside transactions that stay open: whose writing is no matter, and who may still commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import LiteralString

import psycopg
import pytest
from tests.support.engine import AGE_SWEEPS, Engine, engine, succeed
from tests.support.late import AGE_TICK, BUDGET, LATE
from tests.support.postgres import Connection
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

from queueworker.store import MoveState

pytestmark = pytest.mark.postgres

FLOORS = "SELECT floor, safe_floor FROM queueworker.lane"


async def finish(e: Engine, count: int) -> int:
    """Enqueue and complete so many jobs; give the last position."""
    await e.enqueue(count)
    jobs = await e.claim(await e.worker(), count)
    await e.store.complete(e.queue, [succeed(job) for job in jobs])
    return jobs[-1].pos


async def sweep_late(e: Engine, sweeps: int = 3) -> None:
    """Sweep as if each tick had waited in vain."""
    for _ in range(sweeps):
        await e.conn.execute(AGE_TICK)
        await e.sweep()


async def floors(e: Engine) -> tuple[int, int]:
    ((floor, safe_floor),) = await e.all(FLOORS)
    return floor, safe_floor


@asynccontextmanager
async def late_job(dsn: str, e: Engine) -> AsyncIterator[tuple[psycopg.AsyncConnection, int]]:
    """Hold an enqueue open until floors have passed it by."""
    await finish(e, 5)
    async with await psycopg.AsyncConnection.connect(dsn) as slow:
        cursor = await slow.execute("SELECT queueworker.enqueue('mail', 'a')")
        late = (await cursor.fetchone() or (0,))[0]
        await finish(e, 20)
        await sweep_late(e)
        floor, safe_floor = await floors(e)
        assert safe_floor < late < floor
        yield slow, late


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO elsewhere VALUES (1)",
        "SELECT * FROM queueworker.queue_lag(ARRAY['mail'])",  # it locks sequences, but draws nothing
    ],
)
def test_a_transaction_that_does_not_enqueue_holds_no_floor(
    dsn: str, conn: Connection, statement: LiteralString
) -> None:
    conn.execute("CREATE TABLE elsewhere (n int)")

    async def scenario() -> tuple[tuple[int, int], int]:
        async with engine(dsn) as e, await psycopg.AsyncConnection.connect(dsn) as writer:
            await writer.execute(statement)
            last = await finish(e, 10)
            for _ in range(3):
                await e.sweep()
            return await floors(e), last

    (floor, safe_floor), last = asyncio.run(scenario())

    assert floor == safe_floor == last


def test_a_job_that_commits_after_floors_have_passed_it_by_is_claimed(dsn: str) -> None:
    async def scenario() -> tuple[list[int], int, int, int]:
        async with engine(dsn) as e, late_job(dsn, e) as (slow, late):
            await slow.commit()
            rows = await e.sweep()
            found = [job.id for job in await e.claim(await e.worker(), 5)]
            assert rows[0].first_ready_pos == late
            last = await finish(e, 1)
            await sweep_late(e)
            return found, late, last, min(await floors(e))

    found, late, last, safe_floor = asyncio.run(scenario())

    assert found == [late]
    assert safe_floor == last


def test_a_worker_runs_a_job_that_committed_after_its_floors_had_passed_it_by(dsn: str) -> None:
    enqueue = "SELECT queueworker.enqueue('mail', 'quick', '{}', max_attempts => 1)"
    with Bench(dsn) as bench, WorkerProcess(dsn) as worker:
        worker.ready()
        bench.enqueue("quick")
        with psycopg.connect(dsn) as slow:
            late = (slow.execute(enqueue).fetchone() or (0,))[0]
            # Its floors pass the job by, and it goes on claiming after that.
            wait_until(
                lambda: (
                    [bench.one(enqueue), bench.conn.execute(AGE_TICK)]
                    and bench.one("SELECT max(floor) > %s FROM queueworker.lane", late)
                ),
                within_s=20,
                what="a floor above the open job",
            )
            last = bench.enqueue("quick")[0]
            bench.until("SELECT count(*) = 1 FROM ledger WHERE job_id = %s", last)
        bench.until("SELECT count(*) = 1 FROM ledger WHERE job_id = %s", late, within_s=10)


def test_a_late_transaction_that_is_rolled_back_leaves_nothing_behind(dsn: str) -> None:
    async def scenario() -> tuple[tuple[int, int], int, int]:
        async with engine(dsn) as e, late_job(dsn, e) as (slow, _):
            await slow.rollback()
            last = await finish(e, 1)
            for _ in range(3):
                await e.sweep()
            return await floors(e), last, await e.one(LATE)

    (floor, safe_floor), last, late = asyncio.run(scenario())

    assert floor == safe_floor == last
    assert late == 0


def test_counts_of_a_late_transaction_are_added_up(dsn: str) -> None:
    async def scenario() -> tuple[list[int], int]:
        async with engine(dsn) as e, engine(dsn) as slow:
            await e.enqueue(10)
            jobs = await e.claim(await e.worker(), 10)
            async with slow.conn.transaction():
                await slow.store.complete(e.queue, [succeed(job) for job in jobs[:5]])
                await e.store.complete(e.queue, [succeed(job) for job in jobs[5:]])
                await sweep_late(e)
                told = [(await e.lag()).succeeded_total]
            for _ in range(4):
                await e.sweep()
                told.append((await e.lag()).succeeded_total)
            return told, await e.one("SELECT count(*) FROM queueworker.stat")

    told, left = asyncio.run(scenario())

    assert (told[0], told[-1], left) == (5, 10, 0)
    assert told == sorted(told)


def test_low_walks_wait_for_their_share_of_the_time_and_forget_nobody(dsn: str) -> None:
    async def scenario() -> tuple[list[int], list[int]]:
        async with engine(dsn) as e, late_job(dsn, e) as (slow, late):
            await e.conn.execute(
                "UPDATE queueworker.queue SET low_from = clock_timestamp() + interval '1 min'"
            )
            await slow.commit()
            await sweep_late(e)
            before = [job.id for job in await e.claim(await e.worker(), 5)]
            await e.conn.execute(BUDGET)
            await e.sweep()
            after = [job.id - late for job in await e.claim(await e.worker(), 5)]
            return before, after

    assert asyncio.run(scenario()) == ([], [0])


def test_a_sweep_with_an_old_snapshot_proves_nothing_by_locks(dsn: str, conn: Connection) -> None:
    conn.execute("CREATE TABLE elsewhere (n int)")

    async def scenario() -> tuple[int, int, int]:
        async with engine(dsn) as e, engine(dsn) as old:
            await finish(e, 1)
            async with await psycopg.AsyncConnection.connect(dsn) as slow, slow.transaction():
                cursor = await slow.execute("SELECT queueworker.enqueue('mail', 'a')")
                late = (await cursor.fetchone() or (0,))[0]
                await finish(e, 5)
                await e.sweep()
                await e.conn.execute(AGE_SWEEPS)
                await old.conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                await old.conn.execute("SELECT count(*) FROM queueworker.job")
            # No lock is left, but this snapshot does not show the job.
            await old.store.sweep(e.queue.id, [])
            await old.conn.execute("COMMIT")
            floor, _ = await floors(e)
            return floor, late, len(await e.claim(await e.worker(), 5))

    floor, late, claimed = asyncio.run(scenario())

    assert floor < late
    assert claimed == 1


def test_what_a_late_transaction_wrote_into_a_queue_before_its_move_is_claimed(
    dsn: str,
) -> None:
    async def scenario() -> tuple[list[int], int]:
        async with engine(dsn) as e:
            await e.store.queue_create("mail")
            async with late_job(dsn, e) as (slow, late):
                await slow.commit()
                await e.store._flip("mail", own=False)
                steps = [step.state async for step in e.store.queue_move("mail", own=False)]
                assert MoveState.MOVING not in steps[-1:]
                await e.sweep()
                return [job.id for job in await e.claim(await e.worker(), 5)], late

    found, late = asyncio.run(scenario())

    assert found == [late]
