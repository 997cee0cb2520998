"""What has finished is kept as long as its queue says, by day, and nothing else pays for that."""

import asyncio
import time
import uuid
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from tests.support.engine import Engine, bury, engine, retry, succeed
from tests.support.postgres import Connection
from tests.support.worker_process import Bench, WorkerProcess, run_command

from queueworker.store import QueueRow, Retention, Upkeep

pytestmark = pytest.mark.postgres

DAY_S = 86_400.0
FINISHED = "SELECT id FROM queueworker.jobs WHERE state = 'succeeded' ORDER BY id"


async def retain(e: Engine, finished_s: float, queue: str = "mail") -> QueueRow:
    await e.store.queue(queue)
    assert await e.store.queue_retain(queue, Retention(finished_s=finished_s))
    return await e.store.queue(queue)


async def run_one(e: Engine, queue: QueueRow) -> int:
    """Enqueue, claim and complete one job of the engine's queue; give its id."""
    (job_id,) = await e.enqueue()
    jobs = await e.claim(await e.worker(pod="pod-7"))
    assert await e.store.complete(queue, [succeed(job) for job in jobs]) == set()
    return job_id


async def maintain(e: Engine) -> Upkeep:
    upkeep = await e.store.maintain(at_once=True)
    assert upkeep is not None
    return upkeep


def days(conn: Connection) -> list[date]:
    rows = conn.execute("SELECT right(part, 8) FROM queueworker.finished_days()").fetchall()
    return [datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date() for (text,) in rows]


def make_day(conn: Connection, day: date) -> None:
    """Make an earlier day's partition, as the maintenance of that day did."""
    query = sql.SQL(
        "CREATE TABLE queueworker.{} PARTITION OF queueworker.finished_job"
        " FOR VALUES FROM ({}) TO ({})"
    ).format(
        sql.Identifier(f"finished_job_{day:%Y%m%d}"),
        sql.Literal(f"{day} 00:00+00"),
        sql.Literal(f"{day + timedelta(days=1)} 00:00+00"),
    )
    with conn.transaction():
        conn.execute("SET LOCAL ROLE queueworker_owner")
        conn.execute(query)


def keep(conn: Connection, queue: str, age: timedelta, count: int = 1) -> None:
    """Write finished jobs of that age."""
    conn.execute("SELECT queueworker.enqueue(%s, 'a')", (queue,))
    conn.execute(
        "INSERT INTO queueworker.finished_job (id, finished_at, created_at, run_at, lane_id, queue_id,"
        " attempt, max_attempts, crash_count, state, args)"
        " SELECT 1000000 + n, clock_timestamp() - %s, now(), now(), l.id, q.id, 1, 5, 0,"
        " 'succeeded', '{}' FROM generate_series(1, %s) AS n, queueworker.queue AS q"
        " JOIN queueworker.lane AS l ON l.queue_id = q.id WHERE q.name = %s",
        (age, count, queue),
    )


def kept(conn: Connection, queue: str) -> int:
    """Count the rows, shown or not."""
    row = conn.execute(
        "SELECT count(*) FROM queueworker.finished_job AS f"
        " JOIN queueworker.queue AS q ON q.id = f.queue_id WHERE q.name = %s",
        (queue,),
    ).fetchone()
    return -1 if row is None else int(row[0])


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


def test_a_missing_partition_fails_no_completion(dsn: str, conn: Connection) -> None:
    async def scenario() -> tuple[int, Upkeep]:
        async with engine(dsn) as e:
            queue = await retain(e, DAY_S)
            for day in days(conn):
                name = sql.Identifier("queueworker", f"finished_job_{day:%Y%m%d}")
                conn.execute(sql.SQL("DROP TABLE {}").format(name))
            job_id = await run_one(e, queue)
            return job_id, await maintain(e)

    job_id, upkeep = asyncio.run(scenario())

    assert conn.execute(FINISHED).fetchall() == [(job_id,)]
    assert conn.execute("SELECT id FROM queueworker.finished_job_default").fetchall() == [(job_id,)]
    # Today stays with the default partition, which has its rows; the days to come are made.
    assert upkeep.days_made == 2
    conn.execute(
        "UPDATE queueworker.finished_job SET finished_at = finished_at - interval '2 days'"
    )
    again = conn.execute("SELECT finished_deleted FROM queueworker.maintain(true)").fetchone()
    assert again == (1,)
    assert kept(conn, "mail") == 0


def test_days_are_made_ahead_and_dropped_whole_after_the_longest_retention(
    dsn: str, conn: Connection
) -> None:
    today = datetime.now(UTC).date()
    for age in (9, 8, 7, 6):
        make_day(conn, today - timedelta(days=age))
    keep(conn, "mail", timedelta(days=9))
    keep(conn, "mail", timedelta(days=6))

    async def scenario() -> tuple[Upkeep, list[date]]:
        async with engine(dsn) as e:
            await retain(e, 7 * DAY_S)
            await retain(e, DAY_S, "reports")
            return await maintain(e), days(conn)

    upkeep, left = asyncio.run(scenario())

    # A day is dropped when its end is older than 7 days.
    assert upkeep.days_dropped == 2
    assert upkeep.finished_deleted == 0
    assert left == [today + timedelta(days=n) for n in (-7, -6, 0, 1, 2)]
    assert kept(conn, "mail") == 1


def test_a_shorter_retention_hides_at_once_and_deletes_in_small_batches(
    dsn: str, conn: Connection
) -> None:
    day = (datetime.now(UTC) - timedelta(days=3)).date()
    make_day(conn, day)
    keep(conn, "mail", timedelta(days=3), count=2)
    keep(conn, "reports", timedelta(days=3), count=25)

    async def scenario() -> None:
        async with engine(dsn) as e:
            await retain(e, 7 * DAY_S, "mail")
            await retain(e, DAY_S, "reports")

    asyncio.run(scenario())
    shown = conn.execute("SELECT queue FROM queueworker.jobs WHERE state = 'succeeded'").fetchall()
    assert shown == [("mail",)] * 2

    rounds = []
    while not rounds or rounds[-1][1]:
        call = "SELECT finished_deleted, has_more FROM queueworker.maintain(true, 10)"
        row = conn.execute(call).fetchone()
        assert row is not None
        rounds.append(row)
    assert rounds == [(10, True), (10, True), (5, False)]
    assert (kept(conn, "mail"), kept(conn, "reports")) == (2, 0)
    assert day in days(conn)


def test_off_hides_at_once_and_what_was_kept_is_deleted(dsn: str, conn: Connection) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await run_one(e, await retain(e, DAY_S))
            queue = await retain(e, 0)
            seen = [len(await e.all(FINISHED)), kept(conn, "mail")]
            await run_one(e, queue)
            seen.append(kept(conn, "mail"))
            await asyncio.sleep(0.01)
            seen.append((await maintain(e)).finished_deleted)
            return [*seen, kept(conn, "mail")]

    assert asyncio.run(scenario()) == [0, 1, 1, 1, 0]


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


def test_completions_go_on_while_a_reader_stops_a_day_from_being_dropped(
    dsn: str, conn: Connection
) -> None:
    make_day(conn, (datetime.now(UTC) - timedelta(days=5)).date())
    keep(conn, "mail", timedelta(days=5))

    async def scenario() -> tuple[Upkeep, float, Upkeep]:
        async with engine(dsn) as e:
            queue = await retain(e, DAY_S)
            with psycopg.connect(dsn) as reader:
                reader.execute("SELECT count(*) FROM queueworker.jobs")
                began_s = time.monotonic()
                blocked = await maintain(e)
                await run_one(e, queue)
                took_s = time.monotonic() - began_s
            return blocked, took_s, await maintain(e)

    blocked, took_s, later = asyncio.run(scenario())

    assert (blocked.days_dropped, later.days_dropped) == (0, 1)
    assert took_s < 2
    assert len(days(conn)) == 3


def test_one_of_many_maintains_and_at_most_once_a_minute(dsn: str, conn: Connection) -> None:
    with psycopg.connect(dsn) as other:
        first = other.execute("SELECT has_more FROM queueworker.maintain()").fetchall()
        during = conn.execute("SELECT has_more FROM queueworker.maintain(true)").fetchall()
    after = conn.execute("SELECT has_more FROM queueworker.maintain()").fetchall()
    at_once = conn.execute("SELECT has_more FROM queueworker.maintain(true)").fetchall()
    conn.execute(
        "UPDATE queueworker.maintenance SET maintained_at = maintained_at - interval '1 minute'"
    )
    later = conn.execute("SELECT has_more FROM queueworker.maintain()").fetchall()

    assert (first, during, after, at_once, later) == ([(False,)], [], [], [(False,)], [(False,)])


def test_a_worker_does_the_maintenance(dsn: str, bench: Bench) -> None:
    keep(bench.conn, "mail", timedelta(days=5))
    bench.conn.execute("SELECT queueworker.queue_retain('mail', interval '1 day')")
    with WorkerProcess(dsn):
        bench.until("SELECT count(*) = 0 FROM queueworker.finished_job")


def note_failures(conn: Connection, age: timedelta, *job_ids: int) -> None:
    conn.execute(
        "INSERT INTO queueworker.failure (job_id, queue_id, attempt, token, kind, error, failed_at)"
        " SELECT id, 1, 1, 1, 'error', 'no luck', clock_timestamp() - %s FROM unnest(%s) AS id",
        (age, list(job_ids)),
    )


def failures(conn: Connection) -> list[int]:
    rows = conn.execute("SELECT DISTINCT job_id FROM queueworker.failures ORDER BY 1").fetchall()
    return [job_id for (job_id,) in rows]


def test_errors_go_with_age_but_not_those_of_dead_letters_and_waiting_jobs(
    dsn: str, conn: Connection
) -> None:
    async def scenario() -> list[list[int]]:
        async with engine(dsn) as e:
            dead, waiting = await e.enqueue(2)
            jobs = await e.claim(await e.worker(), 2)
            await e.store.complete(e.queue, [bury(jobs[0]), retry(jobs[1], delay_s=60.0)])
            conn.execute("DELETE FROM queueworker.failure")
            note_failures(conn, timedelta(days=15), dead, waiting, 7)
            note_failures(conn, timedelta(days=13), 8)
            seen = [[dead, waiting], failures(conn)]
            assert (await maintain(e)).failures_deleted == 1
            seen.append(failures(conn))
            # Retried and done since: looked at again once a day.
            await e.store.dead_retry("mail", [dead])
            (job,) = await e.claim(await e.worker(), 1)
            await e.store.complete(e.queue, [succeed(job)])
            await maintain(e)
            seen.append(failures(conn))
            conn.execute("UPDATE queueworker.maintenance SET failures_anew_at = '-infinity'")
            await maintain(e)
            return [*seen, failures(conn)]

    (dead, waiting), before, after, same_day, next_day = asyncio.run(scenario())

    assert before == sorted([dead, waiting, 7, 8])
    assert after == sorted([dead, waiting, 8])
    assert same_day == after
    assert next_day == sorted([waiting, 8])


def test_errors_of_one_moment_are_looked_at_once_in_many_rounds(conn: Connection) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'a') FROM generate_series(1, 25)")
    conn.execute(
        "INSERT INTO queueworker.failure (job_id, queue_id, attempt, token, kind, error, failed_at)"
        " SELECT id, 1, 1, 1, 'error', 'no luck', now() - interval '20 days' FROM queueworker.job"
    )
    call = "SELECT failures_deleted, has_more FROM queueworker.maintain(true, 10)"
    rounds = [conn.execute(call).fetchone() for _ in range(3)]

    assert rounds == [(0, True), (0, True), (0, False)]


def test_dead_letters_are_kept_for_ever_unless_their_queue_says_how_long(
    dsn: str, conn: Connection
) -> None:
    async def scenario() -> tuple[list[int], int]:
        async with engine(dsn) as e:
            await e.enqueue(3)
            jobs = await e.claim(await e.worker(), 3)
            await e.store.complete(e.queue, [bury(job) for job in jobs])
            conn.execute(
                "UPDATE queueworker.dead_job SET died_at = died_at - interval '40 days'"
                " WHERE id <> %s",
                (jobs[0].id,),
            )
            counts = [(await maintain(e)).dead_deleted]
            await e.store.queue_retain("mail", Retention(dead_s=30 * DAY_S))
            counts.append((await maintain(e)).dead_deleted)
            await e.sweep()
            return counts, (await e.lag()).dead

    assert asyncio.run(scenario()) == ([0, 2], 1)
    assert conn.execute("SELECT count(*) FROM queueworker.failures").fetchone() == (1,)


def test_names_of_workers_are_kept_as_long_as_something_may_mention_them(
    dsn: str, conn: Connection
) -> None:
    async def scenario() -> tuple[uuid.UUID, int]:
        async with engine(dsn) as e:
            old, alive = await e.worker(pod="old"), await e.worker(pod="alive")
            await e.store.deregister(old)
            conn.execute(
                "UPDATE queueworker.past_worker SET started_at = started_at - interval '91 days'"
            )
            return alive, (await maintain(e)).workers_forgotten

    alive, forgotten = asyncio.run(scenario())

    assert forgotten == 1
    assert conn.execute("SELECT id, pod FROM queueworker.past_worker").fetchall() == [
        (alive, "alive")
    ]


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
