"""Row 21: a connection is dead, and neither end was told."""

import time

import pytest
from tests.support.fault_proxy import FaultProxy, socket_of, through
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

DETECTED_WITHIN_S = 10.0


def reconnects(worker: WorkerProcess) -> dict[str, float]:
    """Give how often each connection was opened anew."""
    lines = worker.probe("/metrics")[1].splitlines()
    name = "queueworker_database_reconnects_total{"
    return {
        line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)
    }


# A sweep that is under way when the network goes silent is given up first.
SWEEP_WITHIN_S = 6.0


def test_connections_notice_silence_within_ten_seconds(dsn: str, bench: Bench) -> None:
    with FaultProxy(socket_of(dsn)) as proxy, WorkerProcess(through(dsn, proxy)) as worker:
        worker.ready()
        wait_until(
            lambda: "queueworker_listening 1.0" in worker.probe("/metrics")[1],
            within_s=10,
            what="it listens",
        )
        began_s = time.monotonic()
        proxy.hush()  # a middlebox forgot them; new connections are good
        (job,) = bench.enqueue("quick")
        wait_until(
            lambda: reconnects(worker).keys() >= {"claims", "lease", "listen"},
            within_s=DETECTED_WITHIN_S + 2,
            what="they are opened anew",
            every_s=0.1,
        )
        took_s = time.monotonic() - began_s
        bench.until_gone(job)
        runs = bench.runs(job, "quick 0")
        assert "lease lost" not in worker.log

    assert took_s <= DETECTED_WITHIN_S
    assert [attempt for attempt, _, _ in runs] == [1]


@pytest.mark.slow_fault
def test_a_job_in_hand_is_completed_over_a_new_connection(dsn: str, bench: Bench) -> None:
    with FaultProxy(socket_of(dsn)) as proxy, WorkerProcess(through(dsn, proxy)) as worker:
        (job,) = bench.enqueue("sleeper", seconds=1)
        bench.until("SELECT count(*) = 1 FROM queueworker.jobs WHERE state = 'running'")
        proxy.hush()
        bench.until_gone(job, within_s=SWEEP_WITHIN_S + 10)
        bench.until("SELECT sum(succeeded) = 1 FROM queueworker.queue_counter")
        assert worker.stop() == 0

    assert bench.one("SELECT count(*) FROM queueworker.failure") == 0
    assert bench.one("SELECT sum(started) FROM queueworker.queue_counter") == 1
