"""Workers die, stop and lose their database; no job is lost, and no late one counts."""

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

SHORT_TTL_S = 2.0


@pytest.fixture
def bench(dsn: str) -> Iterator[Bench]:
    with Bench(dsn) as bench:
        yield bench


def short(dsn: str, *arguments: str, **extra: str) -> WorkerProcess:
    return WorkerProcess(dsn, *arguments, QUEUEWORKER_LEASE_TTL_S=str(SHORT_TTL_S), **extra)


def test_a_killed_workers_jobs_run_elsewhere_under_a_larger_token(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("nap", seconds=2.0, max_attempts=2)
    with short(dsn) as first:
        bench.until_noted(job)
        with short(dsn) as second:
            second.ready()
            first.signal(signal.SIGKILL)
            bench.until(
                "SELECT count(*) = 2 FROM ledger WHERE job_id = %s AND note = 'start'",
                job,
                within_s=SHORT_TTL_S + 3,
            )
            bench.until_gone(job)

    (one, two) = bench.runs(job)
    assert two[1] > one[1]
    assert (one[2], two[2]) == (first.pid, second.pid)
    assert len(bench.runs(job, "end")) == 1


def test_a_job_that_kills_its_worker_is_dead_after_the_third_crash(dsn: str, bench: Bench) -> None:
    (poison,) = bench.enqueue("kill_worker", max_attempts=10)
    crashes = 0
    while bench.state(poison) not in (None, ("dead", 3)):
        with short(dsn) as worker:
            wait_until(
                lambda: worker.process.poll() is not None or bench.state(poison) == ("dead", 3),
                within_s=15,
                what="a crash or a burial",
            )
            crashes += worker.process.poll() is not None

    assert crashes == 3
    assert bench.one("SELECT kind FROM queueworker.dead_job WHERE id = %s", poison) == "crash"


def test_the_result_of_a_stopped_worker_is_refused(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("nap", seconds=4.0, max_attempts=5)
    with short(dsn) as zombie:
        bench.until_noted(job)
        with short(dsn) as other:
            other.ready()
            zombie.signal(signal.SIGSTOP)
            bench.until(
                "SELECT count(*) = 1 FROM ledger WHERE job_id = %s AND note = 'end'",
                job,
                within_s=15,
            )
            bench.until_gone(job)
            zombie.signal(signal.SIGCONT)
            first_id, second_id = zombie.identity(1)[1], zombie.identity(2)[1]
            bench.until("SELECT sum(succeeded) = 1 FROM queueworker.queue_counter")
            (after,) = bench.enqueue("quick")
            bench.until_gone(after)

    assert first_id != second_id
    assert "lease lost" in zombie.log
    assert len(bench.runs(job)) == 2
    assert bench.one("SELECT sum(succeeded) FROM queueworker.queue_counter") <= 2


def test_a_blocked_loop_keeps_its_lease(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("spin", seconds=3 * SHORT_TTL_S)
    with short(dsn) as worker, short(dsn) as other:
        other.ready()
        bench.until_noted(job)
        bench.until_gone(job, within_s=20)
        assert "lease lost" not in worker.log + other.log

    assert len(bench.runs(job)) == 1


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
