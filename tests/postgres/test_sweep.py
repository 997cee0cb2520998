import asyncio
import time
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql
from tests.support.backlog import lane, schedule
from tests.support.engine import AGE_SWEEPS, Engine, engine, release, retry, succeed
from tests.support.postgres import Connection, has_waiter
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


def test_counters_are_the_same_before_and_after_they_are_rolled_up(dsn: str) -> None:
    async def scenario() -> tuple[list[tuple[int, ...]], int]:
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


def scheduled(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) FROM queueworker.job WHERE pos IS NULL").fetchone()
    return int(row[0]) if row else 0


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
PUBLICATION = "SELECT p.xmin::text FROM queueworker.queue_lag_published AS p WHERE queue_id = %s"
LATER = "UPDATE queueworker.job SET run_at = run_at - interval '{}' WHERE pos IS NULL"


async def sweeps_in_full(e: Engine) -> bool:
    """Sweep once; give whether the sweep looked at the queue from end to end."""
    before = await e.one(PUBLICATION, e.queue.id)
    await e.sweep()
    return bool(await e.one(PUBLICATION, e.queue.id) != before)


async def until_still(e: Engine) -> None:
    for _ in range(8):
        if not await sweeps_in_full(e):
            return
    raise AssertionError("eight sweeps in a row found something new")


async def an_ended_job(e: Engine) -> None:
    await e.enqueue(1)
    jobs = await e.claim(await e.worker())
    await e.store.complete(e.queue, [succeed(job) for job in jobs])
    await until_still(e)


async def ready_after_sweeps(e: Engine, sweeps: int = 2) -> tuple[int, int]:
    """Give what is told to be ready, and what can be claimed."""
    for _ in range(sweeps):
        await e.sweep()
    told = (await e.lag()).ready
    return told, len(await e.claim(await e.worker(), 100))


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
            held = [job for job in await e.claim(await e.worker()) if job]
            assert held == []
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
