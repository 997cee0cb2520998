"""Row 1: kill -9 in the middle of jobs, at random moments."""

import random
import signal
import time
from contextlib import ExitStack

import pytest
from tests.support.fault_workers import SHORT_TTL_S, runner, short, two_ready
from tests.support.worker_process import Bench

NOISE_S = 1.0  # of a machine that runs other things


def test_row_01_a_killed_workers_jobs_run_elsewhere_under_a_larger_token(
    dsn: str, bench: Bench
) -> None:
    with two_ready(dsn) as (one, two):
        (job,) = bench.enqueue("nap", seconds=2.0, max_attempts=2)
        first, second = runner(bench, job, one, two)
        first.signal(signal.SIGKILL)
        killed_s = time.monotonic()
        bench.until("SELECT count(*) = 2 FROM ledger WHERE job_id = %s AND note = 'start'", job)
        took_s = time.monotonic() - killed_s
        bench.until_gone(job)

    (run, again) = bench.runs(job)
    assert again[1] > run[1]
    assert (run[2], again[2]) == (first.pid, second.pid)
    assert len(bench.runs(job, "end")) == 1
    assert took_s <= SHORT_TTL_S + 1 + NOISE_S


@pytest.mark.slow_fault
@pytest.mark.parametrize("seed", [1])
def test_row_01_random_kills_lose_nothing_and_leave_one_effect_a_job(
    dsn: str, bench: Bench, seed: int
) -> None:
    choose = random.Random(seed)
    ids = bench.enqueue("slow_effect", count=60, seconds=0.2, max_attempts=1)
    with ExitStack() as stack:
        workers = [stack.enter_context(short(dsn, concurrency=2)) for _ in range(3)]
        for worker in workers:
            worker.ready()
        for _ in range(3):
            victim = workers.pop(choose.randrange(len(workers)))
            time.sleep(choose.uniform(0, 0.4))  # the random moment is the test
            victim.signal(signal.SIGKILL)
            workers.append(stack.enter_context(short(dsn, concurrency=2)))
        bench.until_gone(*ids)

    effects = "SELECT count(*), count(DISTINCT job_id) FROM ledger WHERE note = 'effect'"
    assert bench.conn.execute(effects).fetchone() == (60, 60)
    assert bench.one("SELECT count(*) FROM queueworker.dead_job") == 0
    assert bench.one("SELECT count(*) FROM ledger WHERE note = 'start'") > 60
