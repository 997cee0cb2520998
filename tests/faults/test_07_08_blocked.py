"""Rows 7 and 8: a handler holds Python's lock, or blocks the event loop."""

import fcntl
import time
from pathlib import Path

from tests.support.fault_workers import SHORT_TTL_S, refused, runner, short, two_ready
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench

from queueworker.worker.watchdog import LOOK_EVERY_S, STOOD_STILL_S


def test_row_07_held_lock_a_lost_lease_is_noticed_and_nothing_counts_twice(
    dsn: str, bench: Bench, tmp_path: Path
) -> None:
    """No thread runs while the lock is held: the lease cannot be kept, so its loss must be seen."""
    path = tmp_path / "held"
    with path.open("w") as held_file, two_ready(dsn) as (one, two):
        fcntl.flock(held_file, fcntl.LOCK_EX)
        (job,) = bench.enqueue("hold_gil_once", path=str(path), max_attempts=5)
        held, _ = runner(bench, job, one, two)
        still_until_s = time.monotonic() + STOOD_STILL_S + 2 * LOOK_EVERY_S
        bench.until_gone(job)
        time.sleep(max(still_until_s - time.monotonic(), 0.0))
        fcntl.flock(held_file, fcntl.LOCK_UN)
        wait_until(lambda: "lease lost" in held.log, what="the loss")
        held.identity(2)
        bench.until("SELECT sum(succeeded) = 1 FROM queueworker.queue_counter")
        wait_until(lambda: "stood still" in held.log, what="the warning")

    (first, second) = bench.runs(job)
    assert first[1] < second[1]


def test_row_07_held_lock_shorter_than_the_lease_changes_nothing(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("hold_gil", seconds=4.0)
    with short(dsn, environ={"QUEUEWORKER_LEASE_TTL_S": "15"}) as worker:
        bench.until_noted(job)
        bench.until_gone(job)
        wait_until(lambda: "stood still" in worker.log, what="the warning")
        assert "lease lost" not in worker.log

    assert bench.notes(job) == ["start", "end"]


def test_row_08_a_blocked_loop_keeps_its_lease_and_the_task_is_named(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("spin", seconds=3 * SHORT_TTL_S)
    with short(dsn) as worker, short(dsn) as other:
        other.ready()
        bench.until_noted(job)
        bench.until_gone(job)
        log = worker.log + other.log
        assert "lease lost" not in log

    assert len(bench.runs(job)) == 1
    assert "task 'spin' blocks the event loop" in log
    assert "ledger_tasks.py" in log


def test_row_08_a_loop_that_waits_is_not_blocked(dsn: str, bench: Bench) -> None:
    ids = [*bench.enqueue("nap", seconds=3.0), *bench.enqueue("thread_nap", seconds=3.0)]
    with short(dsn) as worker:
        bench.until_gone(*ids)
        assert "blocks the event loop" not in worker.log

    assert refused(bench) == 0
