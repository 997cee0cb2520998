"""Dead letters get another go, many at once."""

import time

import psycopg
import pytest
from tests.support.letters import Letter, bury_all, listed
from tests.support.postgres import Connection
from tests.support.worker_process import Bench, WorkerProcess, run_command

pytestmark = pytest.mark.postgres


def test_a_retried_job_has_all_its_attempts_again(dsn: str, bench: Bench) -> None:
    (job_id,) = bench.enqueue("again", max_attempts=2)
    bench.conn.execute("SELECT queueworker.enqueue('mail', 'again', max_attempts => 2)")
    with WorkerProcess(dsn):
        (dead,) = bench.enqueue("fail")
        bench.until_gone(job_id, dead)
        assert run_command(dsn, "dead", "retry", "--id", str(dead)).returncode == 0
        bench.until("SELECT count(*) = 2 FROM queueworker.failures WHERE job_id = %s", dead)
        bench.until_gone(dead)

    assert [attempt for attempt, _, _ in bench.runs(dead)] == [1, 1]


def test_many_are_retried_in_the_order_of_their_death_in_small_transactions(
    dsn: str, conn: Connection
) -> None:
    conn.execute("SELECT queueworker.ensure_lane(queueworker.ensure_queue('mail'), 'a', 0)")
    conn.execute(
        "INSERT INTO queueworker.dead_job (id, created_at, run_at, died_at, lane_id, queue_id,"
        " attempt, max_attempts, crash_count, kind, error, args)"
        " SELECT n, now(), now(), now() - make_interval(secs => n / 10), 1, 1, 5, 5, 0, 'error', 'x',"
        " '{}' FROM generate_series(1, 2500) AS n"
    )
    done = run_command(dsn, "dead", "retry", "--queue", "mail", "--yes")

    assert done.stdout.startswith("2,500 dead letters of mail")
    row = conn.execute(
        "SELECT count(*), count(DISTINCT xmin::text), count(*) FILTER (WHERE attempt = 0)"
        " FROM queueworker.job"
    ).fetchone()
    assert row == (2500, 3, 2500)
    ages = conn.execute("SELECT (id / 10)::int FROM queueworker.job ORDER BY pos").fetchall()
    assert ages == sorted(ages, reverse=True)
    lag = conn.execute("SELECT ready FROM queueworker.queue_lag(ARRAY['mail'])").fetchone()
    assert lag == (2500,)


def test_a_batch_is_found_by_index_however_many_are_dead(conn: Connection) -> None:
    conn.execute("SELECT queueworker.ensure_lane(queueworker.ensure_queue('mail'), 'a', 0)")
    conn.execute(
        "INSERT INTO queueworker.dead_job (id, created_at, run_at, died_at, lane_id, queue_id,"
        " attempt, max_attempts, crash_count, kind, error, args)"
        " SELECT n, now(), now(), now() - make_interval(secs => n), 1, 1, 5, 5, 0, 'error', 'x',"
        " '{}' FROM generate_series(1, 50000) AS n"
    )
    with conn.transaction(force_rollback=True):
        began_s = time.monotonic()
        row = conn.execute(
            "SELECT queueworker.dead_retry('mail', ARRAY(SELECT n FROM generate_series(1, 10) AS n))"
        ).fetchone()
        took_s = time.monotonic() - began_s
        assert row == (10,)
        read = conn.execute(
            "SELECT coalesce(seq_scan, 0), idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE relname = 'dead_job'"
        ).fetchone()
    assert read is not None
    assert read[0] == 0, f"{read} in {took_s:.3f} s"
    assert read[1] < 200


def test_one_whose_unique_key_is_taken_stays_dead_and_is_reported(dsn: str, bench: Bench) -> None:
    keyed = Letter(options=(("unique_key", "k-1"),))
    ids = bury_all(dsn, [keyed, Letter()])
    holder = bench.one("SELECT queueworker.enqueue('mail', 'a', unique_key => 'k-1')")

    done = run_command(dsn, "dead", "retry", "--queue", "mail", "--yes")

    assert done.returncode == 1
    assert done.stdout.startswith("1 dead letter of mail")
    assert f"job {ids[0]} stays dead: job {holder} has its unique key 'k-1'" in done.stderr
    assert listed(dsn) == [ids[0]]


def test_two_at_once_retry_each_letter_once(dsn: str, conn: Connection) -> None:
    ids = bury_all(dsn, [Letter()] * 5)
    with psycopg.connect(dsn) as other:
        first = other.execute("SELECT queueworker.dead_retry('mail', %s)", (ids[:3],)).fetchone()
        second = conn.execute("SELECT queueworker.dead_retry('mail')").fetchone()
    assert (first, second) == ((3,), (2,))
    count = conn.execute("SELECT count(*) FROM queueworker.job").fetchone()
    assert count == (5,)
