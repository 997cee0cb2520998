"""A worker, as users start it, runs each job once and tells what came of it."""

import re
import time

import pytest
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess


def test_every_job_of_a_burst_runs_once(dsn: str, bench: Bench) -> None:
    ids = bench.enqueue("quick", count=300)
    with WorkerProcess(dsn):
        bench.until_gone(*ids)

    assert bench.one("SELECT count(*) FROM ledger") == 300
    assert bench.one("SELECT count(DISTINCT job_id) FROM ledger") == 300


def test_two_workers_share_a_burst_and_run_nothing_twice(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as first, WorkerProcess(dsn) as second:
        first.ready()
        second.ready()
        ids = bench.enqueue("nap", count=24, seconds=0.1)
        bench.until_gone(*ids)

    assert bench.one("SELECT count(*) FROM ledger WHERE note = 'end'") == 24
    assert bench.one("SELECT count(DISTINCT worker) FROM ledger") == 2


def test_an_idle_worker_is_woken_by_the_commit(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn, QUEUEWORKER_POLL_S="30") as worker:
        worker.ready()
        bench.until("SELECT idle FROM queueworker.queue WHERE name = 'mail'")
        (job,) = bench.enqueue("quick")
        took_s = bench.until_noted(job, "quick")

    assert took_s < 1.0


def test_polling_finds_jobs_where_notifications_are_lost(dsn: str, bench: Bench) -> None:
    nowhere = "host=/nowhere dbname=none"
    with WorkerProcess(dsn, QUEUEWORKER_LISTEN_DSN=nowhere, QUEUEWORKER_POLL_S="0.3") as worker:
        worker.ready()
        bench.until("SELECT idle FROM queueworker.queue WHERE name = 'mail'")
        (job,) = bench.enqueue("quick")
        bench.until_noted(job, "quick", within_s=3)


def test_a_failed_job_is_retried_and_then_dead_with_its_error(dsn: str, bench: Bench) -> None:
    (again,) = bench.enqueue("again", max_attempts=2)
    (fail,), (gave_up,) = bench.enqueue("fail"), bench.enqueue("give_up")
    with WorkerProcess(dsn):
        bench.until_gone(again, fail, gave_up)

    assert [attempt for attempt, _, _ in bench.runs(again)] == [1, 2]
    errors = dict(bench.conn.execute("SELECT id, error FROM queueworker.dead_job").fetchall())
    assert set(errors) == {fail, gave_up}
    assert re.fullmatch(r"LookupError: broken \(ledger_tasks\.py:\d+ in fail\)", errors[fail])
    assert errors[gave_up] == "Discard: no use"


def test_arguments_that_do_not_fit_fail_the_attempt_and_not_the_worker(
    dsn: str, bench: Bench
) -> None:
    bench.conn.execute(
        "SELECT queueworker.enqueue('mail', 'quick', '{\"nothing\": 1}', max_attempts => 1)"
    )
    (left,) = bench.enqueue("leave")
    with WorkerProcess(dsn) as worker:
        bench.until_gone(left)
        (after,) = bench.enqueue("quick")
        bench.until_noted(after, "quick")
        assert worker.process.poll() is None
        bench.until("SELECT count(*) = 2 FROM queueworker.dead_job")

    kinds = bench.conn.execute("SELECT kind FROM queueworker.dead_job ORDER BY kind").fetchall()
    assert kinds == [("error",), ("invalid_args",)]


def test_tasks_that_nobody_here_registered_wait(dsn: str, bench: Bench) -> None:
    (unknown,) = bench.enqueue("of_the_next_release")
    with WorkerProcess(dsn):
        (known,) = bench.enqueue("quick")
        bench.until_noted(known, "quick")

    assert bench.state(unknown) == ("ready", 0)


def test_a_mistyped_task_is_told_once_with_the_name_that_was_meant(dsn: str, bench: Bench) -> None:
    bench.enqueue("stranger")
    told = "queue mail: {} of task {!r}: no live worker knows it"
    with WorkerProcess(dsn) as worker:
        worker.ready()
        before = told.format("1 ready job", "stranger")
        wait_until(lambda: before in worker.log, within_s=5, what="what waited before is told")

        bench.enqueue("nop", count=3)
        now = f"{told.format('3 ready jobs', 'nop')} (did you mean 'noop'?); deploy a worker"
        wait_until(lambda: now in worker.log, within_s=5, what="what is new is told")
        bench.enqueue("other")
        wait_until(lambda: "'other'" in worker.log, within_s=5, what="the next look")

        assert worker.log.count(now) == 1


def test_effects_of_the_completing_transaction_happen_once(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("effect", note="paid")
    with WorkerProcess(dsn):
        bench.until_gone(job)

    assert bench.notes(job) == ["paid"]
    bench.until("SELECT succeeded_total = 1 FROM queueworker.queue_lag('{mail}')")


def test_a_completion_that_was_rolled_back_is_retried(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("roll_back", max_attempts=2)
    with WorkerProcess(dsn):
        bench.until_gone(job)

    assert [attempt for attempt, _, _ in bench.runs(job)] == [1, 2]


def test_a_paused_queue_is_left_alone_until_it_is_resumed(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        worker.ready()
        (first,) = bench.enqueue("quick")
        bench.until_gone(first)
        bench.conn.execute("SELECT queueworker.queue_pause('mail', true)")
        wait_until(
            lambda: bench.one("SELECT paused FROM queueworker.queue_lag('{mail}')"),
            what="paused",
        )
        time.sleep(1.5)  # longer than the sweep that tells workers of a pause
        (second,) = bench.enqueue("quick")
        time.sleep(1.0)
        assert bench.state(second) == ("ready", 0)
        bench.conn.execute("SELECT queueworker.queue_pause('mail', false)")
        bench.until_gone(second)


def test_several_queues_are_served_by_weight(dsn: str, bench: Bench) -> None:
    bench.enqueue("noop", count=1)
    reports = bench.enqueue("report", queue="reports", count=200)
    mails = bench.enqueue("nap", count=200, seconds=0.02)
    arguments = ("--queue", "mail:3", "--queue", "reports:1")
    with WorkerProcess(dsn, *arguments):
        bench.until_gone(*reports, *mails)

    # Of the first starts, while both queues had a backlog, three of four were of the heavier one.
    served = bench.one(
        "SELECT count(*) FILTER (WHERE note = 'start') FROM (SELECT note FROM ledger"
        " WHERE note IN ('start', 'report') ORDER BY started_at LIMIT 160) AS first"
    )
    assert 100 <= served <= 140


def test_a_suspect_runs_alone(dsn: str, bench: Bench) -> None:
    (suspect,) = bench.enqueue("nap", seconds=0.5)
    others = bench.enqueue("nap", count=6, seconds=0.2)
    bench.conn.execute("UPDATE queueworker.job SET crash_count = 2 WHERE id = %s", (suspect,))
    with WorkerProcess(dsn):
        bench.until_gone(suspect, *others)

    overlaps = bench.one(
        """
        WITH run AS (
          SELECT job_id, min(started_at) AS began, max(started_at) AS ended
          FROM ledger GROUP BY job_id
        )
        SELECT count(*) FROM run AS a JOIN run AS b ON b.job_id = %s AND a.job_id <> b.job_id
        WHERE a.began < b.ended AND a.ended > b.began
        """,
        suspect,
    )
    assert overlaps == 0
    assert sorted(bench.notes(suspect)) == ["end", "start"]


def test_the_counters_add_up(dsn: str, bench: Bench) -> None:
    ids = [*bench.enqueue("quick", count=5), *bench.enqueue("fail")]
    ids += bench.enqueue("again", max_attempts=2)
    with WorkerProcess(dsn):
        bench.until_gone(*ids)
        bench.until("SELECT succeeded_total = 6 FROM queueworker.queue_lag('{mail}')")
        bench.until("SELECT service_count = 8 FROM queueworker.queue_lag('{mail}')")

    row = bench.conn.execute(
        "SELECT enqueued_total, started_total, succeeded_total, failed_total, retried_total, dead,"
        " (SELECT sum(w) FROM unnest(wait_histogram) AS w) FROM queueworker.queue_lag('{mail}')"
    ).fetchone()
    assert row == (7, 8, 6, 2, 1, 1, 8)


def test_a_delay_that_is_no_number_fails_the_attempt(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("wrong_delay")
    with WorkerProcess(dsn):
        bench.until_gone(job)

    error = bench.one("SELECT error FROM queueworker.dead_job WHERE id = %s", job)
    assert "timedelta" in error


def test_results_are_accepted_at_once_after_a_queue_got_its_partition(
    dsn: str, bench: Bench
) -> None:
    with WorkerProcess(dsn):
        (before,) = bench.enqueue("quick")
        bench.until_gone(before)
        bench.conn.execute("SELECT queueworker.queue_create('mail')")
        (after,) = bench.enqueue("quick")
        bench.until_gone(after)
        bench.until("SELECT sum(succeeded) = 2 FROM queueworker.queue_counter")

    assert bench.one("SELECT sum(refused) FROM queueworker.queue_counter") == 0


def test_a_failed_attempt_is_logged_with_its_place_and_traceback(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("fail", max_attempts=1)
    with WorkerProcess(dsn) as worker:
        bench.until_gone(job)
        log = worker.log

    assert f"job {job} (fail) attempt 1 of 1 failed: " in log
    assert "in fail); dead" in log
    assert "Traceback (most recent call last)" in log
    assert "in fail)" in bench.one("SELECT error FROM queueworker.dead_job")


@pytest.mark.parametrize("task", ["fail_whole", "fail_decimal"])
def test_a_backoff_of_another_number_type_stops_no_results(
    dsn: str, bench: Bench, task: str
) -> None:
    (last,) = bench.enqueue("fail")
    (retried,) = bench.enqueue(task, max_attempts=2)
    ids = bench.enqueue("quick", count=20)
    with WorkerProcess(dsn) as worker:
        bench.until_gone(last, *ids)
        bench.until("SELECT state = 'scheduled' FROM queueworker.jobs WHERE id = %s", retried)
        assert worker.stop(10) == 0
    assert "refused" not in worker.log


def test_a_completion_that_is_always_rolled_back_ends_as_a_dead_letter(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("roll_back_always", max_attempts=2)
    with WorkerProcess(dsn):
        bench.until_gone(job)

    assert [attempt for attempt, _, _ in bench.runs(job)] == [1, 2]
    assert "rolled back" in bench.one("SELECT error FROM queueworker.dead_job WHERE id = %s", job)


def test_a_job_of_countless_attempts_runs_and_ends_no_worker(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("quick")
    bench.conn.execute("UPDATE queueworker.job SET attempt = 32767 WHERE id = %s", (job,))
    with WorkerProcess(dsn) as worker:
        bench.until_gone(job)
        assert worker.stop(10) == 0

    assert len(bench.notes(job)) == 1


def test_an_error_after_the_commit_is_logged_and_the_job_counts_as_done(
    dsn: str, bench: Bench
) -> None:
    ids = bench.enqueue("complete_and_fail", count=3, max_attempts=2)
    ids += bench.enqueue("effect", count=3, note="x")
    with WorkerProcess(dsn) as worker:
        bench.until_gone(*ids)
        bench.until("SELECT count(*) = 0 FROM queueworker.claim")
        bench.until("SELECT sum(succeeded) = 6 FROM queueworker.queue_counter")
        metrics = worker.probe("/metrics")[1]
        assert worker.stop(10) == 0

    assert worker.log.count("failed after it was completed: LookupError: after the commit") == 3
    assert 'queueworker_jobs_total{outcome="settled",queue="mail"} 6.0' in metrics
    assert "results refused" not in worker.log
    counted = bench.conn.execute(
        "SELECT sum(refused), sum(failed), sum(retried) FROM ("
        "SELECT refused, failed, retried FROM queueworker.queue_counter UNION ALL"
        " SELECT refused, failed, retried FROM queueworker.stat) AS c"
    ).fetchone()
    assert counted == (0, 0, 0)
