"""Workers lose their database; no job is lost."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.support import postgres
from tests.support.worker_process import Bench, WorkerProcess

from queueworker import embedded
from queueworker.schema import migrate

GRACE_S = 10.0  # a fifth of it is for the exit: enough on a slow machine


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pg"
    yield path
    embedded.remove(path)


def start_server(path: Path) -> str:
    return postgres.with_database(embedded.start(path, postgres.FAST), "postgres")


def test_a_drain_without_a_database_is_bounded(own_server: Path) -> None:
    dsn = start_server(own_server)
    with psycopg.connect(dsn, autocommit=True) as conn:
        migrate(conn, create_roles=True)
    with WorkerProcess(dsn, "--grace", str(GRACE_S)) as worker:
        with Bench(dsn) as bench:
            (running,) = bench.enqueue("nap", seconds=60)
            bench.until_noted(running)
        embedded.stop(own_server)
        worker.signal(signal.SIGTERM)
        worker.wait(GRACE_S + 0.5)
