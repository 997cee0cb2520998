"""Rows 7 and 8: a handler holds Python's lock, or blocks the event loop."""

from tests.support.fault_workers import SHORT_TTL_S, refused, short
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench


def test_row_07_held_lock_a_lost_lease_is_noticed_and_nothing_counts_twice(
    dsn: str, bench: Bench
) -> None:
    """No thread runs while the lock is held: the lease cannot be kept, so its loss must be seen."""
    (job,) = bench.enqueue("hold_gil_once", seconds=2.5 * SHORT_TTL_S, max_attempts=5)
    with short(dsn) as held:
        bench.until_noted(job)
        with short(dsn):
            wait_until(lambda: "lease lost" in held.log, within_s=15, what="the loss")
            held.identity(2)
            bench.until_gone(job, within_s=30)
            bench.until("SELECT sum(succeeded) = 1 FROM queueworker.queue_counter")
            wait_until(lambda: "stood still" in held.log, within_s=5, what="the warning")

    (first, second) = bench.runs(job)
    assert first[1] < second[1]


def test_row_07_held_lock_shorter_than_the_lease_changes_nothing(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("hold_gil", seconds=4.0)
    with short(dsn, QUEUEWORKER_LEASE_TTL_S="15") as worker:
        bench.until_noted(job)
        bench.until_gone(job)
        wait_until(lambda: "stood still" in worker.log, within_s=5, what="the warning")
        assert "lease lost" not in worker.log

    assert bench.notes(job) == ["start", "end"]


def test_row_08_a_blocked_loop_keeps_its_lease_and_the_task_is_named(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("spin", seconds=3 * SHORT_TTL_S)
    with short(dsn) as worker, short(dsn) as other:
        other.ready()
        bench.until_noted(job)
        bench.until_gone(job, within_s=20)
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
