"""What has finished is kept as long as its queue says, and nothing else pays for that."""

import asyncio
import time

import pytest
from tests.support.engine import bury, engine, retry, succeed
from tests.support.postgres import Connection
from tests.support.retaining import DAY_S, FINISHED, retain, run_one
from tests.support.worker_process import Bench, WorkerProcess, run_command

pytestmark = pytest.mark.postgres


def test_a_finished_job_of_a_retained_queue_is_shown_with_who_ran_it_and_when(
    dsn: str, conn: Connection
) -> None:
    async def scenario() -> int:
        async with engine(dsn) as e:
            return await run_one(e, await retain(e, 7 * DAY_S))

    job_id = asyncio.run(scenario())

    row = conn.execute(
        "SELECT state, queue, task, attempt, pod, args, created_at <= claimed_at,"
        " claimed_at <= finished_at, clock_timestamp() - finished_at < interval '1 minute'"
        " FROM queueworker.jobs WHERE id = %s",
        (job_id,),
    ).fetchall()
    assert row == [("succeeded", "mail", "a", 1, "pod-7", {}, True, True, True)]
    assert conn.execute("SELECT count(*) FROM queueworker.finished_job_default").fetchone() == (0,)


def test_a_queue_without_retention_keeps_nothing(dsn: str, conn: Connection) -> None:
    async def scenario() -> None:
        async with engine(dsn) as e:
            await retain(e, DAY_S, "reports")
            await run_one(e, await e.store.queue("mail"))

    asyncio.run(scenario())

    assert conn.execute("SELECT count(*) FROM queueworker.jobs").fetchone() == (0,)
    assert conn.execute("SELECT count(*) FROM queueworker.finished_job").fetchone() == (0,)


def test_a_mixed_batch_keeps_what_succeeded_and_is_counted_once(dsn: str, conn: Connection) -> None:
    async def scenario() -> tuple[set[tuple[int, int]], tuple[int, ...], int]:
        async with engine(dsn) as e:
            queue = await retain(e, DAY_S)
            await e.enqueue(3)
            jobs = await e.claim(await e.worker(), 3)
            batch = [succeed(jobs[0]), retry(jobs[1], delay_s=60.0), bury(jobs[2])]
            refused = await e.store.complete(queue, batch)
            await e.sweep()
            lag = await e.lag()
            counts = (lag.succeeded_total, lag.failed_total, lag.dead, lag.scheduled)
            # Again, as after a lost answer: everything is refused and nothing kept twice.
            again = await e.store.complete(queue, batch)
            return refused, counts, len(again)

    assert asyncio.run(scenario()) == (set(), (1, 2, 1, 1), 3)
    states = conn.execute("SELECT state FROM queueworker.jobs ORDER BY state").fetchall()
    assert states == [("dead",), ("scheduled",), ("succeeded",)]
    assert conn.execute("SELECT count(*) FROM queueworker.claim").fetchone() == (0,)


def test_a_run_that_lost_its_job_keeps_nothing(dsn: str, conn: Connection) -> None:
    async def scenario() -> int:
        async with engine(dsn) as e:
            queue = await retain(e, DAY_S)
            await e.enqueue()
            lost = await e.worker()
            (job,) = await e.claim(lost)
            await e.expire(lost)
            await e.store.rescue()
            return len(await e.store.complete(queue, [succeed(job)]))

    assert asyncio.run(scenario()) == 1
    assert conn.execute("SELECT state FROM queueworker.jobs").fetchall() == [("ready",)]


def test_a_job_completed_in_its_own_transaction_is_kept_once(dsn: str, bench: Bench) -> None:
    bench.conn.execute("SELECT queueworker.ensure_queue('mail')")
    assert run_command(dsn, "queue", "retain", "--queue", "mail", "--for", "1d").returncode == 0
    (job_id,) = bench.enqueue("effect", note="done")
    with WorkerProcess(dsn):
        bench.until_gone(job_id)

    assert bench.conn.execute(FINISHED).fetchall() == [(job_id,)]
    assert bench.notes(job_id) == ["done"]


def test_a_running_worker_learns_of_the_retention_at_once(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        worker.ready()
        done = run_command(dsn, "queue", "retain", "mail", "--for", "1d")
        assert done.stdout == "queue mail keeps finished jobs for 1d\n"
        for _ in range(50):
            ids = bench.enqueue("noop")
            bench.until_gone(*ids)
            if bench.state(ids[0]) == ("succeeded", 1):
                break
            time.sleep(0.1)
        else:
            pytest.fail("nothing was kept within 5 s")


def test_claims_of_a_retained_queue_are_hot_updates(dsn: str) -> None:
    async def scenario() -> tuple[int, int, int]:
        async with engine(dsn) as e:
            await e.store.queue_create("mail")
            queue = await retain(e, DAY_S)
            await e.enqueue(200)
            worker = await e.worker()
            for _ in range(20):
                jobs = await e.claim(worker, 10)
                await e.store.complete(queue, [succeed(job) for job in jobs])
            await e.all("SELECT pg_stat_force_next_flush()")
            ((updated, hot),) = await e.all(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'job_q1'"
            )
            return updated, hot, len(await e.all(FINISHED))

    assert asyncio.run(scenario()) == (200, 200, 200)


def test_the_command_line_sets_shows_and_ends_a_retention(dsn: str, bench: Bench) -> None:
    bench.conn.execute("SELECT queueworker.ensure_queue('mail')")
    retain_mail = ("queue", "retain", "--queue", "mail")
    done = run_command(dsn, *retain_mail, "--for", "7d", "--dead-for", "30d")
    assert done.stdout == "queue mail keeps finished jobs for 7d, dead letters for 30d\n"
    assert "7d, dead 30d" in run_command(dsn, "queue", "list").stdout

    done = run_command(dsn, *retain_mail, "--for", "off", "--dead-for", "forever")
    assert done.stdout == "queue mail keeps no finished jobs, dead letters for ever\n"
    assert "7d" not in run_command(dsn, "queue", "list").stdout
    assert run_command(dsn, *retain_mail).stderr.startswith("queueworker: say what to keep")
    assert "7 days" in run_command(dsn, *retain_mail, "--for", "7 days").stderr
    nowhere = run_command(dsn, "queue", "retain", "--queue", "mai", "--for", "7d")
    assert (nowhere.returncode, "did you mean mail" in nowhere.stderr) == (1, True)
    assert run_command(dsn, "maintain").stdout.startswith("0 partitions made")
