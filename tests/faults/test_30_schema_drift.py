"""Row 30: the schema is older or newer than the code, or lacks a right or an index."""

import re
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from psycopg import sql
from tests.support.postgres import with_database
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess, probe

from queueworker.statements import statement

LOGIN = "drifting_worker"
EXPANDED = """
    ALTER TABLE queueworker.job ADD COLUMN of_the_future text DEFAULT 'x';
    ALTER TABLE queueworker.worker ADD COLUMN of_the_future int NOT NULL DEFAULT 0;
    ALTER TABLE queueworker.queue ADD COLUMN of_the_future int;
    INSERT INTO queueworker.migration (version, name, checksum) VALUES (9999, 'future', 'x');
"""


@pytest.fixture
def worker_dsn(dsn: str, bench: Bench) -> Iterator[str]:
    """Give the DSN of a login with a worker's rights and no more."""
    role = sql.Identifier(LOGIN)
    bench.conn.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE queueworker_worker").format(role))
    bench.conn.execute(sql.SQL("GRANT INSERT, SELECT ON ledger TO {}").format(role))
    host = dict(part.split("=", 1) for part in dsn.split())
    try:
        yield with_database(f"host={host['host']}", host["dbname"], user=LOGIN)
    finally:
        bench.conn.execute(sql.SQL("DROP OWNED BY {}").format(role))
        bench.conn.execute(sql.SQL("DROP ROLE {}").format(role))


def expand(bench: Bench) -> None:
    """Do what a later migration may do beside workers; like `queueworker migrate`, after a deadlock
    with one of them again."""
    for _ in range(10):
        with suppress(psycopg.errors.DeadlockDetected):
            bench.conn.execute(EXPANDED)
            return
    raise AssertionError("a deadlock each time")


def reason(worker: WorkerProcess, expected: str) -> str:
    """Wait until `/readyz` refuses with these words."""

    def refused() -> str | None:
        status, text = worker.probe("/readyz")
        return text if status == 503 and expected in text else None

    return wait_until(refused, what=f"not ready: {expected}", every_s=0.1)


def test_a_newer_schema_that_only_grew_works(dsn: str, bench: Bench) -> None:
    expand(bench)
    with WorkerProcess(dsn) as worker:
        worker.ready()
        ids = bench.enqueue("again", count=5, max_attempts=2) + bench.enqueue("fail")
        bench.until_gone(*ids)
        assert worker.probe("/readyz")[0] == 200

    assert bench.one("SELECT count(*) FROM queueworker.dead_job") == 1


def test_a_running_worker_goes_on_through_a_migration(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        worker.ready()
        ids = bench.enqueue("sleeper", count=40, seconds=0.1)
        expand(bench)
        bench.until_gone(*ids)
        (after,) = bench.enqueue("quick")
        bench.until_gone(after)
        assert worker.probe("/readyz")[0] == 200

    assert bench.one("SELECT count(*) FROM queueworker.failure") == 0


def test_a_right_that_is_taken_away_is_named_and_comes_back(
    dsn: str, worker_dsn: str, bench: Bench
) -> None:
    with WorkerProcess(dsn, environ={"QUEUEWORKER_DSN": worker_dsn}) as worker:
        worker.ready()
        bench.conn.execute("REVOKE INSERT ON queueworker.claim FROM queueworker_worker")
        (job,) = bench.enqueue("quick")
        text = reason(worker, "lacks a right")
        assert "claim" in text
        wait_until(lambda: "lacks a right" in worker.log, within_s=5, what="a log line")
        bench.conn.execute("GRANT INSERT ON queueworker.claim TO queueworker_worker")
        bench.until_gone(job, within_s=10)
        wait_until(lambda: worker.probe("/readyz")[0] == 200, what="ready again")


def test_a_lease_without_its_right_says_so(dsn: str, worker_dsn: str, bench: Bench) -> None:
    with WorkerProcess(
        dsn, environ={"QUEUEWORKER_DSN": worker_dsn, "QUEUEWORKER_LEASE_TTL_S": "2"}
    ) as worker:
        worker.ready()
        bench.conn.execute("REVOKE UPDATE ON queueworker.worker FROM queueworker_worker")
        bench.conn.execute(
            "REVOKE UPDATE (expires_at) ON queueworker.worker FROM queueworker_worker"
        )
        text = reason(worker, "the lease is lost")
        assert "lacks a right" in text


@pytest.mark.parametrize("how", ["dropped", "invalid"])
def test_a_missing_index_is_named_and_the_worker_waits_for_it(
    dsn: str, bench: Bench, how: str, unused_port: int
) -> None:
    name, definition = bench.conn.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = 'queueworker.job_default'::regclass"
        " AND pg_get_indexdef(indexrelid) LIKE '%(lane_id, pos)%'"
    ).fetchone() or ("", "")
    if how == "dropped":
        bench.conn.execute(f"DROP INDEX {name}".encode())
    else:
        bench.conn.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (name,)
        )
    with WorkerProcess(dsn, "--port", str(unused_port)) as worker:
        wait_until(lambda: "index is missing" in worker.log, what="a warning")
        status, text = probe(unused_port, "/readyz")
        assert status == 503
        assert "queueworker.job_default (lane_id, pos)" in text
        if how == "dropped":
            bench.conn.execute(definition.encode())
        else:
            bench.conn.execute(
                "UPDATE pg_index SET indisvalid = true WHERE indexrelid = %s::regclass", (name,)
            )
        worker.ready()


def test_a_fresh_schema_lacks_nothing(bench: Bench) -> None:
    bench.one("SELECT queueworker.queue_create('own')")

    assert bench.conn.execute(statement("missing_indexes")).fetchall() == []
    assert bench.one("SELECT count(DISTINCT part) FROM queueworker.queue") == 1


def test_a_table_that_is_gone_is_named(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        worker.ready()
        bench.conn.execute("ALTER TABLE queueworker.claim RENAME TO claims_of_the_past")
        bench.enqueue("quick")
        text = reason(worker, "missing or old")
        # A claim names the table with its schema, a function that sweeps by its search path.
        assert re.search(r'\(relation "(queueworker\.)?claim"\)', text)
