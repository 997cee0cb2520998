"""Row 19: the server answers reads, and no commit ends."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from tests.support.own_server import OwnServer, own_server
from tests.support.worker_process import Bench, WorkerProcess, cpu_s

TTL_S = 2.0
STALL_S = 8.0
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'queueworker %'"


@contextmanager
def waiting_for_a_standby(server: OwnServer) -> Iterator[None]:
    """Let each commit wait for a standby that is not there."""
    server.set("synchronous_standby_names", "nobody")
    yield
    server.set("synchronous_standby_names", "")


@contextmanager
def frozen(server: OwnServer) -> Iterator[None]:
    """Stop the sessions of workers inside the kernel's reach, as a disk does that hangs."""
    stopped = set(sessions(server))
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def sessions(server: OwnServer) -> list[int]:
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        return [pid for (pid,) in conn.execute(SESSIONS.encode()).fetchall()]


@pytest.mark.slow_fault
@pytest.mark.parametrize("stall", [waiting_for_a_standby, frozen])
def test_a_stall_longer_than_the_leases_ends_without_a_storm(stall: object) -> None:
    settings = {"QUEUEWORKER_LEASE_TTL_S": str(TTL_S)}
    with (
        own_server() as server,
        WorkerProcess(server.dsn, environ=settings) as one,
        WorkerProcess(server.dsn, environ=settings) as two,
    ):
        one.ready(), two.ready()
        with Bench(server.dsn) as bench:
            ids = bench.enqueue("sleeper", count=60, seconds=0.3, max_attempts=3)
            bench.until("SELECT count(*) >= 8 FROM queueworker.jobs WHERE state = 'running'")
        before_s, most = cpu_s(one) + cpu_s(two), 0
        assert callable(stall)
        with stall(server):
            ends_s = time.monotonic() + STALL_S
            while time.monotonic() < ends_s:
                most = max(most, len(sessions(server)))
                time.sleep(0.2)
        used_s = cpu_s(one) + cpu_s(two) - before_s
        with Bench(server.dsn) as bench:
            (after,) = bench.enqueue("quick", priority=9)
            took_s = bench.until_noted(after, "quick")
            bench.until_gone(*ids, within_s=60)
            dead = bench.one("SELECT count(*) FROM queueworker.dead_job")
            rescued = bench.one("SELECT sum(rescued) FROM queueworker.queue_counter")
        left = len(sessions(server))

    assert used_s < 0.25 * STALL_S  # no spin
    assert most <= 24  # no storm of connections: 8 in good times
    assert left <= 8
    assert took_s < 5
    assert dead == 0
    assert rescued <= 8  # what both had in hand, once


def test_workers_wait_for_a_standby_no_longer_than_for_an_answer() -> None:
    """What a worker writes is then committed on the primary alone; an enqueue goes on waiting."""
    with own_server() as server, WorkerProcess(server.dsn) as worker:
        worker.ready()
        with Bench(server.dsn) as bench:
            ids = bench.enqueue("sleeper", count=4, seconds=0.3)
            bench.until("SELECT count(*) = 4 FROM queueworker.jobs WHERE state = 'running'")
        with waiting_for_a_standby(server), psycopg.connect(server.dsn, autocommit=True) as watch:
            ends_s = time.monotonic() + 20
            query = "SELECT count(*) FROM queueworker.job WHERE id = ANY (%s)"
            while (watch.execute(query, (ids,)).fetchone() or (4,))[0]:
                assert time.monotonic() < ends_s, worker.log
                time.sleep(0.1)
            assert "lease lost" not in worker.log
