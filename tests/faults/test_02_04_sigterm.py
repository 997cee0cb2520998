"""Rows 2 to 4: SIGTERM with a short job, with a job longer than the grace, and twice."""

import os
import signal
import time

import psycopg
import pytest
from tests.support.fault_workers import is_running, runner, short
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

SLOW = pytest.mark.slow_fault
NOISE_S = 0.1  # one look at the jobs takes some milliseconds, and other things run here
CHILD_START_S = 2.0  # the first process job of a worker waits for a Python to start
BACKENDS = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'queueworker%'"
)


def failures(bench: Bench) -> int:
    return int(bench.one("SELECT count(*) FROM queueworker.failure"))


def test_row_02_a_short_job_is_finished_and_the_worker_leaves_with_0(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("nap", seconds=1.0)
    with short(dsn) as worker:
        bench.until_noted(job)
        assert worker.stop() == 0

    assert bench.notes(job) == ["start", "end"]
    assert bench.state(job) is None
    assert bench.one("SELECT count(*) FROM queueworker.worker") == 0
    assert failures(bench) == 0


@pytest.mark.parametrize(
    "task",
    [
        "nap",
        "spin",
        pytest.param("stubborn", marks=SLOW),
        pytest.param("thread_nap", marks=SLOW),
        pytest.param("spin_process", marks=SLOW),
    ],
)
def test_row_03_a_long_job_is_given_back_before_sigkill_and_runs_elsewhere_within_a_second(
    dsn: str, bench: Bench, task: str
) -> None:
    grace_s = "10"  # two seconds of it are for giving back and for the exit
    with short(dsn, "--grace", grace_s) as one, short(dsn, "--grace", grace_s) as two:
        one.ready()
        two.ready()
        (job,) = bench.enqueue(task, seconds=60, max_attempts=5)
        first, _ = runner(bench, job, one, two)
        began_s = time.monotonic()
        first.signal(signal.SIGTERM)
        assert first.wait(float(grace_s)) == 0, first.log
        took_s = time.monotonic() - began_s
        bench.until(
            "SELECT count(*) = 2 FROM ledger WHERE job_id = %s AND note LIKE 'start%%'", job
        )
        again_s = time.monotonic() - began_s
        attempt, crashes = bench.conn.execute(
            "SELECT attempt, crash_count FROM queueworker.job WHERE id = %s", (job,)
        ).fetchone() or (None, None)

    assert again_s < took_s + 1 + (CHILD_START_S if task == "spin_process" else 0)
    assert (attempt, crashes) == (1, 0)  # the second run is the first attempt again
    assert failures(bench) == 0


def test_row_03_a_child_process_of_a_given_back_job_is_gone_with_all_it_started(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("spin_process", seconds=60, max_attempts=5)
    with short(dsn, "--grace", "2") as worker:
        bench.until_noted(job)
        grandchild = int(bench.notes(job)[0].removeprefix("start "))
        child = int(bench.runs(job, f"start {grandchild}")[0][2])
        assert worker.stop(within_s=3) == 0
        wait_until(
            lambda: not is_running(child) and not is_running(grandchild),
            within_s=2,
            what="the end of both processes",
        )

    assert bench.state(job) == ("ready", 0)


def test_row_04_a_second_sigterm_gives_back_now(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("nap", seconds=60, max_attempts=5)
    with short(dsn, "--grace", "60") as worker:
        bench.until_noted(job)
        worker.signal(signal.SIGTERM)
        wait_until(lambda: "SIGTERM" in worker.log, within_s=5, what="first", every_s=0.02)
        worker.signal(signal.SIGTERM)
        bench.until("SELECT state = 'ready' FROM queueworker.jobs WHERE id = %s", job, within_s=1)
        assert worker.wait(3) == 0

    assert bench.state(job) == ("ready", 0)
    assert failures(bench) == 0


def test_row_04_a_second_sigterm_is_heard_while_a_handler_blocks_the_loop(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("spin", seconds=60, max_attempts=5)
    with short(dsn, "--grace", "60") as worker:
        bench.until_noted(job)
        worker.signal(signal.SIGTERM)
        time.sleep(0.2)  # two signals at the same moment would be one
        began_s = time.monotonic()
        worker.signal(signal.SIGTERM)
        assert worker.wait(6) == 0
        assert time.monotonic() - began_s < 5  # the margin of a grace of a minute

    assert bench.state(job) == ("ready", 0)


def test_what_was_prefetched_is_back_within_100_ms_of_the_signal(dsn: str, bench: Bench) -> None:
    bench.enqueue("noop", count=500)
    with short(dsn, "--grace", "20", concurrency=4) as worker:
        bench.until("SELECT count(*) = 0 FROM queueworker.job")
        bench.enqueue("nap", count=200, seconds=1.0)
        bench.until("SELECT count(*) = 4 FROM ledger")
        bench.until("SELECT count(*) > 8 FROM queueworker.jobs WHERE state = 'running'")
        watch = "SELECT clock_timestamp(), count(*) FROM queueworker.jobs WHERE state = 'running'"
        signalled_at = bench.one("SELECT clock_timestamp()")
        worker.signal(signal.SIGTERM)
        seen_at, running = signalled_at, 99
        while running > 4:
            seen_at, running = bench.conn.execute(watch).fetchone() or (signalled_at, 0)
            assert (seen_at - signalled_at).total_seconds() < 1.0, worker.log
        assert worker.wait(10) == 0

    assert (seen_at - signalled_at).total_seconds() < 0.1 + NOISE_S
    assert bench.one("SELECT count(*) FROM ledger WHERE note = 'end'") == 4
    assert bench.one("SELECT count(*) FROM queueworker.jobs WHERE attempt = 0") == 196


def test_a_drain_is_bounded_when_the_database_does_not_answer(dsn: str, bench: Bench) -> None:
    """Stop the worker's backends: its connections are open, and nobody is behind them."""
    grace_s = 4.0
    (job,) = bench.enqueue("nap", seconds=60, max_attempts=5)
    with short(dsn, "--grace", str(grace_s)) as worker:
        bench.until_noted(job)
        backends = [pid for (pid,) in bench.conn.execute(BACKENDS)]
        assert len(backends) >= 3
        stop_all(backends, signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            assert worker.stop(within_s=grace_s) == 1, worker.log
            took_s = time.monotonic() - began_s
        finally:
            stop_all(backends, signal.SIGCONT)

    assert took_s < grace_s
    assert "SIGTERM" in worker.log


def stop_all(backends: list[int], number: signal.Signals) -> None:
    for pid in backends:
        os.kill(pid, number)


def test_the_drain_flag_keeps_the_worker_and_can_be_undone(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn, concurrency=2) as worker:
        _, worker_id = worker.identity(1)
        running = bench.enqueue("nap", count=2, seconds=0.5)
        bench.until_noted(running[0])
        bench.conn.execute("SELECT queueworker.set_drain(%s::uuid[], true)", ([worker_id],))
        bench.until("SELECT draining FROM queueworker.worker_state('{mail}')", within_s=2)
        (waiting,) = bench.enqueue("quick")
        bench.until_gone(*running)
        with pytest.raises(AssertionError):
            bench.until_noted(waiting, within_s=1.5)  # idle, alive, and claims nothing
        assert worker.process.poll() is None
        bench.conn.execute("SELECT queueworker.set_drain(%s::uuid[], false)", ([worker_id],))
        bench.until_gone(waiting, within_s=2)


def test_a_flagged_worker_still_drains_on_sigterm(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("nap", seconds=1.0)
    with WorkerProcess(dsn) as worker:
        _, worker_id = worker.identity(1)
        bench.until_noted(job)
        bench.conn.execute("SELECT queueworker.set_drain(%s::uuid[], true)", ([worker_id],))
        bench.until("SELECT draining FROM queueworker.worker_state('{mail}')", within_s=2)
        assert worker.stop(within_s=5) == 0

    assert bench.notes(job) == ["start", "end"]
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM queueworker.claim").fetchone() == (0,)
