"""Row 6: SIGSTOP for three leases, then SIGCONT: what the zombie did counts for nothing."""

import re
import signal

import pytest
from tests.support.fault_workers import SHORT_TTL_S, refused, runner, two_ready
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess


def refused_here(worker: WorkerProcess) -> float:
    """Give how many results the worker itself counted as refused."""
    found = re.findall(r"completions_refused_total\{[^}]*\} ([0-9.]+)", worker.probe("/metrics")[1])
    return sum(map(float, found))


def test_row_06_the_effect_of_a_stopped_worker_is_rolled_back_and_counted(
    dsn: str, bench: Bench
) -> None:
    with two_ready(dsn) as (one, two):
        (job,) = bench.enqueue("slow_effect", seconds=3.0, max_attempts=5)
        zombie, other = runner(bench, job, one, two)
        zombie.signal(signal.SIGSTOP)
        stopped_at = bench.one("SELECT clock_timestamp()")
        bench.until_gone(job)
        bench.until(
            "SELECT %s::timestamptz < clock_timestamp() - make_interval(secs => %s)",
            stopped_at,
            3 * SHORT_TTL_S,
        )
        zombie.signal(signal.SIGCONT)
        first_id, second_id = zombie.identity(1)[1], zombie.identity(2)[1]
        wait_until(lambda: refused_here(zombie) > 0, what="the refusal")
        (after,) = bench.enqueue("quick")
        bench.until_gone(after)

    (first, second) = bench.runs(job)
    (effect,) = bench.runs(job, "effect")
    assert first_id != second_id
    assert "lease lost" in zombie.log
    assert first[1] < second[1] == effect[1]
    assert effect[2] == other.pid
    assert bench.crash_count(job) == -1


@pytest.mark.slow_fault
def test_row_06_the_late_result_of_a_thread_is_refused(dsn: str, bench: Bench) -> None:
    with two_ready(dsn) as (one, two):
        (job,) = bench.enqueue("thread_nap", seconds=4.0, max_attempts=5)
        zombie, _ = runner(bench, job, one, two)
        zombie.signal(signal.SIGSTOP)
        bench.until("SELECT count(*) = 1 FROM ledger WHERE note = 'end'")
        bench.until_gone(job)
        zombie.signal(signal.SIGCONT)
        bench.until("SELECT count(*) = 2 FROM ledger WHERE note = 'end'")
        wait_until(lambda: refused_here(zombie) > 0, what="the refusal")
        bench.until("SELECT sum(succeeded) = 1 FROM queueworker.queue_counter")

    assert refused(bench) <= 1
