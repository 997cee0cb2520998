"""Workers lose their database; no job is lost."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.support import postgres
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

from queueworker import embedded
from queueworker.schema import migrate


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pg"
    yield path
    embedded.remove(path)


def start_server(path: Path) -> str:
    return postgres.with_database(embedded.start(path, postgres.FAST), "postgres")


def test_work_goes_on_within_five_seconds_of_the_databases_return(own_server: Path) -> None:
    dsn = start_server(own_server)
    with psycopg.connect(dsn, autocommit=True) as conn:
        migrate(conn, create_roles=True)
    with WorkerProcess(dsn) as worker:
        with Bench(dsn) as bench:
            (running,) = bench.enqueue("nap", seconds=0.5)
            bench.until_noted(running)
            bench.until_gone(running)
        embedded.stop(own_server)
        wait_until(lambda: "trying again" in worker.log, within_s=10, what="the loss is noticed")
        start_server(own_server)
        with Bench(dsn) as bench:
            (after,) = bench.enqueue("quick")
            took_s = bench.until_noted(after, "quick", within_s=10)
            bench.until_gone(after)
        assert worker.stop(within_s=10) == 0

    assert took_s < 5


def test_a_drain_without_a_database_is_bounded(own_server: Path) -> None:
    dsn = start_server(own_server)
    with psycopg.connect(dsn, autocommit=True) as conn:
        migrate(conn, create_roles=True)
    with WorkerProcess(dsn, "--grace", "4") as worker:
        with Bench(dsn) as bench:
            (running,) = bench.enqueue("nap", seconds=60)
            bench.until_noted(running)
        embedded.stop(own_server)
        worker.signal(signal.SIGTERM)
        worker.wait(4.5)


def test_backends_that_are_killed_in_a_row_lose_and_repeat_nothing(dsn: str, bench: Bench) -> None:
    kill = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'queueworker%%'"
    )
    with WorkerProcess(dsn) as worker:
        worker.ready()
        ids = bench.enqueue("nap", count=60, seconds=0.05)
        for _ in range(5):
            bench.one(kill)
            bench.until(
                "SELECT count(*) >= 3 FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'queueworker%%'"
            )
        bench.until_gone(*ids, within_s=30)

    assert bench.one("SELECT count(DISTINCT job_id) FROM ledger WHERE note = 'end'") == 60
    assert bench.one("SELECT count(*) FROM queueworker.claim") == 0
    assert bench.one("SELECT count(*) FROM queueworker.failure") == 0
