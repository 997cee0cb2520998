"""A worker, as users start it, runs each job once and finds what it may run."""

import time

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
    with WorkerProcess(dsn, environ={"QUEUEWORKER_POLL_S": "30"}) as worker:
        worker.ready()
        bench.until("SELECT idle FROM queueworker.queue WHERE name = 'mail'")
        (job,) = bench.enqueue("quick")
        took_s = bench.until_noted(job, "quick")

    assert took_s < 1.0


def test_polling_finds_jobs_where_notifications_are_lost(dsn: str, bench: Bench) -> None:
    nowhere = "host=/nowhere dbname=none"
    with WorkerProcess(
        dsn, environ={"QUEUEWORKER_LISTEN_DSN": nowhere, "QUEUEWORKER_POLL_S": "0.3"}
    ) as worker:
        worker.ready()
        bench.until("SELECT idle FROM queueworker.queue WHERE name = 'mail'")
        (job,) = bench.enqueue("quick")
        bench.until_noted(job, "quick", within_s=3)


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
