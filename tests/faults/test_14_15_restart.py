"""Rows 14 and 15: the server restarts, in order or by a crash of all its processes."""

import signal

import pytest
from tests.support.own_server import FAST_STOP, IMMEDIATE_STOP, own_server
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

HOW = pytest.mark.parametrize("how", [FAST_STOP, IMMEDIATE_STOP], ids=["fast", "immediate"])


@HOW
def test_a_restart_under_load_loses_nothing_and_takes_five_seconds_at_most(
    how: signal.Signals,
) -> None:
    with own_server() as server, WorkerProcess(server.dsn) as one, WorkerProcess(server.dsn) as two:
        one.ready(), two.ready()
        with Bench(server.dsn) as bench:
            ids = bench.enqueue("effect", count=400, note="x", max_attempts=5)
            bench.until("SELECT count(*) >= 20 FROM ledger")
        server.stop(how)
        wait_until(
            lambda: "trying again" in one.log and "trying again" in two.log,
            what="both notice",
        )
        server.start()
        with Bench(server.dsn) as bench:
            (after,) = bench.enqueue("quick", priority=9)
            took_s = bench.until_noted(after, "quick")
            bench.until_gone(*ids, within_s=60)
            done = bench.one("SELECT count(*) FROM ledger WHERE note = 'x'")
            once = bench.one("SELECT count(DISTINCT job_id) FROM ledger WHERE note = 'x'")
            dead = bench.one("SELECT count(*) FROM queueworker.dead_job")
        assert one.stop(10) == 0
        assert two.stop(10) == 0

    assert took_s < 5
    assert (done, once, dead) == (400, 400, 0)


@pytest.mark.slow_fault
@HOW
def test_a_job_that_outlasts_the_restart_is_done_once(how: signal.Signals) -> None:
    with own_server() as server, WorkerProcess(server.dsn) as worker:
        with Bench(server.dsn) as bench:
            (job,) = bench.enqueue("sleeper", seconds=3)
            bench.until("SELECT count(*) = 1 FROM queueworker.jobs WHERE state = 'running'")
        server.stop(how)
        server.start()
        with Bench(server.dsn) as bench:
            bench.until_gone(job)
            assert bench.one("SELECT count(*) FROM queueworker.failure") == 0
            assert bench.one("SELECT count(*) FROM queueworker.dead_job") == 0
            bench.until("SELECT sum(succeeded) = 1 FROM queueworker.queue_counter")
        assert "lease lost" not in worker.log
