"""Row 22: 300 ms delay, 5 % loss, and connections that end in the middle of a message."""

import pytest
from tests.support.fault_proxy import FaultProxy, Plan, socket_of, through
from tests.support.worker_process import Bench, WorkerProcess

JOBS = 60


def work_off(dsn: str, bench: Bench, proxy: FaultProxy, jobs: int = JOBS) -> str:
    """Let one worker do all jobs through the proxy; give what it said."""
    with WorkerProcess(through(dsn, proxy), concurrency=10) as worker:
        ids = bench.enqueue("sleeper", count=jobs, seconds=0.02)
        bench.until_gone(*ids, within_s=60)
        bench.until("SELECT sum(succeeded) = %s FROM queueworker.queue_counter", jobs)
        return worker.log


def assert_all_once(bench: Bench) -> None:
    counted = bench.conn.execute(
        "SELECT sum(refused), sum(failed), sum(dead) FROM queueworker.queue_counter"
    ).fetchone()
    assert counted == (0, 0, 0)


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(delay_s=0.3), marks=pytest.mark.slow_fault),
        Plan(loss=0.05, loss_delay_s=0.5),
        pytest.param(Plan(bytes_per_s=50_000), marks=pytest.mark.slow_fault),
    ],
    ids=["delay", "loss", "bandwidth"],
)
def test_a_slow_network_slows_and_breaks_nothing(dsn: str, bench: Bench, plan: Plan) -> None:
    with FaultProxy(socket_of(dsn)) as proxy:
        proxy.plan = plan
        log = work_off(dsn, bench, proxy)

    assert_all_once(bench)
    assert "trying again" not in log
    assert "lease lost" not in log
    assert bench.one("SELECT sum(started) FROM queueworker.queue_counter") == JOBS


def test_connections_that_end_anywhere_in_a_message_cost_no_job(dsn: str, bench: Bench) -> None:
    with FaultProxy(socket_of(dsn)) as proxy:
        # A connection has carried its statements' texts, and then some of its work.
        proxy.plan = Plan(cut_after_bytes=20_000, cut_spread_bytes=40_000)
        log = work_off(dsn, bench, proxy, jobs=1000)
        connections = proxy.accepted

    assert_all_once(bench)
    assert "trying again" in log
    assert connections >= 8
