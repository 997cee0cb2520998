"""A migration that has to wait for a table holds up nobody else."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from tests.support.postgres import Connection
from tests.support.waiting import wait_until

from queueworker.errors import LockTimeout
from queueworker.schema import (
    Migration,
    MigrationReport,
    latest_version,
    migrate_beside_work,
    migrations,
)

pytestmark = pytest.mark.postgres

MOMENT_S = 3.0


def newer(text: str) -> list[Migration]:
    last = migrations()[-1]
    return [*migrations(), replace(last, version=last.version + 1, name="9999_newer", text=text)]


NEWER = newer("ALTER TABLE queueworker.worker ADD COLUMN newer int")
# Takes one table long before the other.
SLOW = newer("""
    ALTER TABLE queueworker.claim ADD COLUMN newer int;
    SELECT pg_sleep(0.7);
    ALTER TABLE queueworker.stat ADD COLUMN newer int;
""")


@contextmanager
def dump(dsn: str) -> Iterator[None]:
    """Hold what pg_dump holds for as long as it runs: a read lock on each table."""
    with psycopg.connect(dsn, application_name="pg_dump") as conn:
        conn.execute("LOCK TABLE queueworker.worker, queueworker.job IN ACCESS SHARE MODE")
        yield


def test_beside_a_dump_workers_renew_and_the_migration_comes_after_it(dsn: str) -> None:
    reports: list[MigrationReport] = []

    def run() -> None:
        with psycopg.connect(dsn, autocommit=True) as conn:
            reports.append(migrate_beside_work(conn, files_=NEWER))

    migrating = threading.Thread(target=run)
    slowest_s = 0.0
    with dump(dsn), psycopg.connect(dsn, autocommit=True) as worker:
        migrating.start()
        ends_s = time.monotonic() + 2 * MOMENT_S
        while time.monotonic() < ends_s:
            began_s = time.monotonic()
            worker.execute("UPDATE queueworker.worker SET renewed_at = clock_timestamp()")
            slowest_s = max(slowest_s, time.monotonic() - began_s)
    migrating.join(timeout=30)

    assert slowest_s < MOMENT_S
    assert [report.applied for report in reports] == [("9999_newer",)]


def test_a_session_that_takes_the_tables_the_other_way_round_is_never_ended_for_it(
    dsn: str, conn: Connection
) -> None:
    reports: list[MigrationReport] = []

    def run() -> None:
        with psycopg.connect(dsn, autocommit=True) as migrator:
            reports.append(migrate_beside_work(migrator, files_=SLOW))

    migrating = threading.Thread(target=run)
    with psycopg.connect(dsn) as reader:
        reader.execute("SELECT FROM queueworker.stat")
        migrating.start()
        wait_until(lambda: is_locked(conn, "claim"), what="a lock on the claims", every_s=0.02)
        reader.execute("SELECT FROM queueworker.claim")  # raised DeadlockDetected
    migrating.join(timeout=30)

    assert [report.applied for report in reports] == [("9999_newer",)]


def is_locked(conn: Connection, table: str) -> bool:
    row = conn.execute(
        """SELECT FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock'
        AND relation = %s::regclass""",
        (f"queueworker.{table}",),
    ).fetchone()
    return row is not None


def test_a_migration_that_never_gets_its_table_names_who_holds_it_and_changes_nothing(
    dsn: str, conn: Connection
) -> None:
    with dump(dsn), pytest.raises(LockTimeout, match=r"nothing was migrated.*pg_dump of postgres"):
        migrate_beside_work(conn, files_=NEWER, patience_s=0.1)

    assert conn.execute("SELECT max(version) FROM queueworker.migration").fetchone() == (
        latest_version(),
    )
