"""An attempt that fails, however it does, is told, retried, and ends no worker."""

import re

import pytest
from tests.support.worker_process import Bench, WorkerProcess


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


def test_a_delay_that_is_no_number_fails_the_attempt(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("wrong_delay")
    with WorkerProcess(dsn):
        bench.until_gone(job)

    error = bench.one("SELECT error FROM queueworker.dead_job WHERE id = %s", job)
    assert "timedelta" in error


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
