"""A worker that is told to stop finishes what it can, gives back the rest, and charges nothing."""

import signal
import time
from collections.abc import Iterator

import pytest
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

AGED = "UPDATE queueworker.worker SET started_at = started_at - interval '1 minute'"


@pytest.fixture
def bench(dsn: str) -> Iterator[Bench]:
    with Bench(dsn) as bench:
        yield bench


def test_a_short_job_is_finished_on_sigterm(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("nap", seconds=1.0)
    with WorkerProcess(dsn) as worker:
        bench.until_noted(job)
        assert worker.stop(within_s=10) == 0

    assert bench.notes(job) == ["start", "end"]
    assert bench.state(job) is None
    assert bench.one("SELECT count(*) FROM queueworker.worker") == 0


def test_jobs_that_have_not_started_go_back_at_once_and_uncharged(dsn: str, bench: Bench) -> None:
    bench.enqueue("noop", count=500)
    with WorkerProcess(dsn, "--grace", "20", concurrency=2) as worker:
        bench.until("SELECT count(*) = 0 FROM queueworker.job")
        ids = bench.enqueue("nap", count=40, seconds=2.0)
        bench.until("SELECT count(*) = 2 FROM ledger")
        assert bench.one("SELECT count(*) > 2 FROM queueworker.jobs WHERE state = 'running'")
        worker.signal(signal.SIGTERM)
        bench.until(
            "SELECT count(*) = 38 FROM queueworker.jobs WHERE state = 'ready' AND attempt = 0",
            within_s=0.7,  # a worker that does not drain gives them back after a second
        )
        assert worker.wait(10) == 0

    assert bench.one("SELECT count(*) FROM ledger WHERE note = 'end'") == 2
    assert bench.one("SELECT count(*) FROM queueworker.job WHERE id = ANY (%s)", ids) == 38


@pytest.mark.parametrize("task", ["nap", "stubborn", "thread_nap", "process_nap", "spin"])
def test_a_job_longer_than_the_grace_is_given_back_uncharged_before_sigkill(
    dsn: str, bench: Bench, task: str
) -> None:
    (job,) = bench.enqueue(task, seconds=60, max_attempts=5)
    grace_s = 3.0
    with WorkerProcess(dsn, "--grace", str(grace_s)) as worker:
        bench.until_noted(job)
        began_s = time.monotonic()
        worker.signal(signal.SIGTERM)
        assert worker.wait(grace_s + 1) == 0, worker.log
        took_s = time.monotonic() - began_s

    assert took_s < grace_s
    assert bench.state(job) == ("ready", 0)
    assert bench.crash_count(job) == 0
    assert bench.one("SELECT count(*) FROM queueworker.claim") == 0


def test_a_second_sigterm_gives_back_now(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("nap", seconds=60)
    with WorkerProcess(dsn, "--grace", "60") as worker:
        bench.until_noted(job)
        worker.signal(signal.SIGTERM)
        wait_until(lambda: "SIGTERM" in worker.log, within_s=5, what="first", every_s=0.02)
        worker.signal(signal.SIGTERM)
        assert worker.wait(3) == 0

    assert bench.state(job) == ("ready", 0)


def test_what_a_job_without_a_lease_comes_to_changes_nothing(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("thread_nap", seconds=2.0, max_attempts=5)
    with WorkerProcess(dsn) as worker:
        bench.until_noted(job)
        bench.conn.execute(AGED)
        bench.end_leases()
        bench.until("SELECT count(*) = 2 FROM ledger WHERE note = 'start'", within_s=10)
        bench.until("SELECT count(*) = 2 FROM ledger WHERE note = 'end'")
        bench.until_gone(job)
        bench.until("SELECT sum(succeeded) = 1 FROM queueworker.queue_counter")
        assert "lease lost" in worker.log

    tokens = [token for _, token, _ in bench.runs(job)]
    assert tokens == sorted(set(tokens))


def test_the_drain_flag_stops_claims_and_its_end_resumes_them(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        _, worker_id = worker.identity(1)
        (running,) = bench.enqueue("nap", seconds=1.0)
        bench.until_noted(running)
        bench.conn.execute("SELECT queueworker.set_drain(%s::uuid[], true)", ([worker_id],))
        state = "FROM queueworker.worker_state('{mail}')"
        bench.until(f"SELECT draining AND busy = 1 {state}", within_s=1.5)
        (waiting,) = bench.enqueue("quick")
        bench.until_noted(running, "end")
        bench.until(f"SELECT draining AND busy = 0 AND held = 0 {state}", within_s=3)
        assert bench.state(waiting) == ("ready", 0)
        bench.conn.execute("SELECT queueworker.set_drain(%s::uuid[], false)", ([worker_id],))
        bench.until_gone(waiting, within_s=2)
        bench.until(f"SELECT NOT draining {state}", within_s=3)


def test_a_worker_reports_a_start_within_a_second(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        worker.ready()
        (job,) = bench.enqueue("nap", seconds=3)
        bench.until_noted(job)
        state = "FROM queueworker.worker_state('{mail}')"
        bench.until(f"SELECT busy = 1 AND oldest_start_age_s < 2 {state}", within_s=1.5)


def test_a_worker_that_never_reached_its_database_stops_too(dsn: str) -> None:
    with WorkerProcess(dsn, QUEUEWORKER_DSN="host=/nowhere dbname=none") as worker:
        wait_until(lambda: "trying again" in worker.log, within_s=15, what="a warning")
        assert worker.stop(within_s=5) == 0
