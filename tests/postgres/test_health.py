"""Probes and metrics answer for the worker, whatever its clients do."""

import socket
import time

from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess, probe

NAMES = (
    "queueworker_job_wait_seconds_bucket",
    "queueworker_job_run_seconds_count",
    "queueworker_claim_seconds_count",
    "queueworker_claims_empty_total",
    "queueworker_lease_renew_seconds_count",
    "queueworker_lease_lost_total",
    'queueworker_slots{state="busy"}',
    'queueworker_slots{state="free"}',
    "queueworker_drain_seconds",
    "queueworker_drain_released_total",
)


def test_a_worker_that_may_claim_is_ready_and_counts_its_jobs(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        worker.ready()
        ids = bench.enqueue("quick", count=3)
        bench.until_gone(*ids)
        assert worker.probe("/livez") == (200, "ok\n")
        assert worker.probe("/readyz") == (200, "ok\n")
        assert worker.probe("/nothing")[0] == 404
        status, metrics = worker.probe("/metrics")

    assert status == 200
    assert [name for name in NAMES if name not in metrics] == []
    assert 'queueworker_job_run_seconds_count{queue="mail",task="quick"} 3.0' in metrics


def test_a_draining_worker_is_not_ready(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("nap", seconds=8)
    with WorkerProcess(dsn) as worker:
        bench.until_noted(job)
        worker.process.terminate()
        wait_until(lambda: worker.probe("/readyz")[0] == 503, what="not ready")
        assert worker.probe("/livez")[0] == 200
        assert worker.wait() == 0


def test_slow_clients_do_not_delay_a_probe(dsn: str) -> None:
    with WorkerProcess(dsn) as worker:
        port, _ = worker.identity(1)
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
        try:
            for client in slow:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost")
            began_s = time.monotonic()
            assert probe(port, "/livez")[0] == 200
            assert time.monotonic() - began_s < 1
            slow[0].settimeout(10)
            assert slow[0].recv(1) == b""  # the server hangs up on it
        finally:
            for client in slow:
                client.close()


def test_a_blocked_event_loop_still_answers(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("spin", seconds=4)
    with WorkerProcess(dsn) as worker:
        bench.until_noted(job)
        assert worker.probe("/livez")[0] == 200
        assert bench.state(job) == ("running", 1)
