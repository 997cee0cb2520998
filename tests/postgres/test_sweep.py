"""A sweep promotes what is due, rescues, and tends what nobody else does."""

import asyncio
import time

import psycopg
import pytest
from psycopg import sql
from tests.support.backlog import lane, schedule, scheduled
from tests.support.engine import engine
from tests.support.postgres import Connection
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

from queueworker.claim import Pace, Source
from queueworker.dsn import Dsn
from queueworker.link import Link
from queueworker.sweep import Sweeper

pytestmark = pytest.mark.postgres


def test_a_due_job_is_promoted_and_keeps_its_due_time(dsn: str) -> None:
    async def scenario() -> tuple[dict[str, int], int, float]:
        async with engine(dsn) as e:
            await e.all(
                "SELECT queueworker.enqueue('mail', 'a', run_at => clock_timestamp() + '1 min')"
            )
            await e.sweep()
            before = await e.states()
            await e.conn.execute("UPDATE queueworker.job SET run_at = run_at - interval '2 min'")
            promoted = (await e.sweep())[0].promoted
            return before, promoted, (await e.claim(await e.worker()))[0].run_at_wait_s

    before, promoted, wait_s = asyncio.run(scenario())

    assert before == {"scheduled": 1}
    assert promoted == 1
    assert wait_s == pytest.approx(60, abs=5)


def test_sweeps_close_together_are_one(dsn: str) -> None:
    async def scenario() -> list[int | None]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            lanes = [row[0] for row in await e.all("SELECT id FROM queueworker.lane")]
            first = await e.store.sweep(e.queue.id, lanes)
            second = await e.store.sweep(e.queue.id, lanes)
            return [first[0].first_ready_pos, second[0].first_ready_pos]

    first, second = asyncio.run(scenario())

    assert first is not None
    assert second is None


def test_a_sweep_rescues(dsn: str) -> None:
    async def scenario() -> dict[str, int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            worker = await e.worker()
            await e.claim(worker)
            await e.expire(worker)
            await e.sweep()
            return await e.states()

    assert asyncio.run(scenario()) == {"ready": 1}


def test_the_operators_sweep_tends_only_queues_without_a_live_worker(dsn: str) -> None:
    async def scenario() -> tuple[list[int], list[bool]]:
        async with engine(dsn) as e:
            await e.all(
                "SELECT queueworker.enqueue('mail', 'a', run_at => clock_timestamp() + '1 min')"
            )
            await e.conn.execute("UPDATE queueworker.job SET run_at = run_at - interval '2 min'")
            call, idle = (
                "SELECT queueworker.sweep(ARRAY['mail'])",
                "SELECT idle FROM queueworker.queue",
            )
            worker = await e.worker()
            swept, flags = [await e.one(call)], [await e.one(idle)]
            await e.store.deregister(worker)
            swept.append(await e.one(call))
            flags.append(await e.one(idle))
            return swept, flags

    assert asyncio.run(scenario()) == ([0, 1], [False, True])


def test_an_enqueue_wakes_only_a_queue_that_sleeps(dsn: str) -> None:
    async def scenario() -> list[str]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as ear:
                await ear.execute("LISTEN queueworker")
                await e.enqueue(1)
                await e.store.set_idle(e.queue.id, idle=True)
                await e.enqueue(1)
                await e.store.set_idle(e.queue.id, idle=False)
                await e.enqueue(1)
                await e.enqueue(1, task="new")
                return [n.payload async for n in ear.notifies(timeout=5, stop_after=2)]

    assert asyncio.run(scenario()) == ["job:mail", "lane:mail"]


def test_a_server_clock_that_was_set_back_stops_no_sweep(dsn: str) -> None:
    async def scenario() -> tuple[int, bool]:
        async with engine(dsn) as e:
            await e.all(
                "SELECT queueworker.enqueue('mail', 'a', run_at => clock_timestamp() + '1 min')"
            )
            await e.conn.execute("UPDATE queueworker.job SET run_at = run_at - interval '2 min'")
            # As a sweep of an hour later would have left it.
            await e.conn.execute(
                "UPDATE queueworker.queue SET swept_at = clock_timestamp() + interval '1 hour',"
                " due_from = clock_timestamp() + interval '1 hour',"
                " due_full_at = clock_timestamp() + interval '1 hour'"
            )
            await e.store.sweep(e.queue.id, [1])
            return await e.one(
                "SELECT count(*) FROM queueworker.job WHERE pos IS NOT NULL"
            ), await e.one("SELECT due_from <= clock_timestamp() FROM queueworker.queue")

    assert asyncio.run(scenario()) == (1, True)


def test_a_burst_of_due_jobs_is_claimable_batch_by_batch(dsn: str, conn: Connection) -> None:
    async def scenario() -> tuple[list[int], int, dict[str, int]]:
        async with engine(dsn) as e, engine(dsn) as other:
            lane(conn, "mail")
            schedule(conn, "mail", 12_000, after_s=-864_001.0)
            worker = await e.worker()
            promoted = [(await e.sweep())[0].promoted]
            # The rest is promoted while the first are claimed.
            claimed = len(await other.claim(worker, 100))
            while promoted[-1] == promoted[0]:
                promoted.append(await e.store.promote_more(e.queue.id))
            return promoted, claimed, await e.states()

    promoted, claimed, states = asyncio.run(scenario())

    assert promoted == [5000, 5000, 2000]
    assert claimed == 100
    assert states == {"ready": 11_900, "running": 100}


def test_a_worker_promotes_a_burst_of_100_000_due_jobs_within_seconds(
    dsn: str, conn: Connection
) -> None:
    lane(conn, "mail")
    lane(conn, "news")
    schedule(conn, "mail", 100_000, after_s=-864_001.0)

    async def scenario() -> tuple[float, int]:
        link = Link(Dsn.parse(dsn), "test")
        pace = Pace(poll_s=1.0)
        found: list[str] = []
        async with engine(dsn) as e:
            queues = [await e.store.queue(name) for name in ("mail", "news")]
        sources = [Source(queue, 1, pace) for queue in queues]
        sweeper = Sweeper(link, sources, ["a"], found.append)
        began_s = time.monotonic()
        sweeping = asyncio.create_task(sweeper.run())
        await asyncio.to_thread(
            wait_until, lambda: not scheduled(conn), within_s=60, what="all jobs are promoted"
        )
        took_s = time.monotonic() - began_s
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await link.close()
        return took_s, found.count("mail")

    took_s, times_found = asyncio.run(scenario())

    assert took_s < 30  # some 2 s on a quiet machine
    assert times_found >= 20  # the claimer hears of each batch
    assert conn.execute("SELECT count(*) FROM queueworker.job WHERE pos > 0").fetchone() == (
        100_000,
    )


def test_a_sweep_that_is_asked_for_tells_the_claimer_at_once() -> None:
    # A pause and its end may both come before one sweep: it sees no change, and a claim found nothing.
    found: list[str] = []
    link = Link(Dsn.parse("host=/nowhere dbname=none"), "test")
    sweeper = Sweeper(link, [], ["a"], found.append)

    sweeper.ask("mail")
    sweeper.ask()

    assert found == ["mail"]


def test_a_queue_that_cannot_be_swept_holds_up_no_other(dsn: str) -> None:
    async def own_table() -> str:
        async with engine(dsn, "aaa") as e:
            await e.store.queue_create("aaa")
            await e.enqueue(1)
            return (await e.store.queue("aaa")).part

    part = asyncio.run(own_table())
    queues = ("--queue", "aaa", "--queue", "mail")
    with Bench(dsn) as bench, psycopg.connect(dsn) as holder, WorkerProcess(dsn, *queues) as w:
        w.ready()
        lock = sql.SQL("LOCK TABLE queueworker.{} IN ACCESS EXCLUSIVE MODE")
        holder.execute(lock.format(sql.Identifier(part)))
        due = "SELECT queueworker.enqueue('mail', 'noop', run_at => clock_timestamp() + interval '1 s')"
        job = bench.one(due)
        # Not the view of all queues, which waits for the lock.
        ended = "SELECT NOT EXISTS (SELECT FROM queueworker.job_default WHERE id = %s)"
        bench.until(ended, job)
        holder.rollback()

    assert w.log.count("queue aaa could not be swept") == 1
