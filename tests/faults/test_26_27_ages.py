"""Rows 26 and 27: a transaction that is open for long, and the age of transaction ids."""

import time

import psycopg
import pytest
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

JOBS = 2_000


def metric(worker: WorkerProcess, name: str) -> float:
    lines = worker.probe("/metrics")[1].splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def drain(bench: Bench, worker: WorkerProcess) -> tuple[float, float]:
    """Work a backlog off; give its time and the mean time of a claim."""
    spent_s, claims = (
        metric(worker, f"queueworker_claim_seconds_{of}{{") for of in ("sum", "count")
    )
    began_s = time.monotonic()
    ids = bench.enqueue("noop", count=JOBS)
    bench.until_gone(*ids, within_s=60)
    took_s = time.monotonic() - began_s
    more_s = metric(worker, "queueworker_claim_seconds_sum{") - spent_s
    return took_s, more_s / (metric(worker, "queueworker_claim_seconds_count{") - claims)


@pytest.mark.slow_fault
def test_an_open_transaction_leaves_claims_as_fast_as_they_were(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn, concurrency=20) as worker, psycopg.connect(dsn) as holder:
        worker.ready()
        drain(bench, worker)  # connections, plans
        control = [drain(bench, worker) for _ in range(3)]
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT count(*) FROM queueworker.job")
        held = [drain(bench, worker) for _ in range(6)][3:]

    for side in (0, 1):
        assert min(run[side] for run in held) < 2 * min(run[side] for run in control)


def test_the_age_of_the_oldest_transaction_is_told_for_an_alert(dsn: str) -> None:
    with psycopg.connect(dsn) as holder:
        holder.execute("SELECT pg_current_xact_id()")
        time.sleep(1)
        with WorkerProcess(dsn) as worker:
            worker.ready()
            name = "queueworker_database_oldest_transaction_seconds "
            wait_until(lambda: metric(worker, name) >= 1, what="its age")
            assert metric(worker, name) < 60


def test_the_age_of_transaction_ids_is_told_for_an_alert(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        worker.ready()
        name = "queueworker_database_transaction_id_age "
        wait_until(lambda: metric(worker, name) > 0, what="the age")
        told = metric(worker, name)
        now = bench.one(
            "SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()"
        )

    assert 0 <= now - told < 5_000
