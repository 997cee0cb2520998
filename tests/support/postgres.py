"""The embedded server and fresh databases for tests."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from queueworker import embedded
from queueworker.schema import migrate

CANARY = "canary-7f3a-secret"
TEMPLATE = "queueworker_template"
BINARIES = os.environ.get("QUEUEWORKER_TEST_POSTGRES")
FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}
_numbers = itertools.count(1)

Connection = psycopg.Connection[Any]


@contextmanager
def running_server() -> Iterator[str]:
    """Run a server in a new directory; give the DSN of its maintenance database."""
    path = Path(tempfile.mkdtemp(prefix="qw-"))
    path.chmod(0o755)
    try:
        yield embedded.start(path / "db", FAST, Path(BINARIES) if BINARIES else None)
    finally:
        embedded.remove(path / "db")
        shutil.rmtree(path, ignore_errors=True)


def with_database(dsn: str, database: str, *, user: str = "postgres") -> str:
    """Give the DSN of another database; its password is the canary (the socket asks for none)."""
    host = dict(part.split("=", 1) for part in dsn.split())["host"]
    return f"host={host} user={user} password={CANARY} dbname={database}"


def make_template(server: str) -> str:
    """Make a migrated database that fresh ones are copied from."""
    create_database(server, TEMPLATE)
    with psycopg.connect(with_database(server, TEMPLATE), autocommit=True) as conn:
        migrate(conn, create_roles=True)
    return TEMPLATE


def create_database(server: str, name: str, template: str = "template1") -> None:
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )


def has_waiter(conn: Connection) -> bool:
    """Tell whether a session of this database waits for a lock."""
    row = conn.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ).fetchone()
    return row is not None and row[0] > 0


def drop_database(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def fresh_database(server: str, template: str = "template1") -> Iterator[str]:
    """Make a database for the length of a block; give its DSN."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    create_database(server, name, template)
    try:
        yield with_database(server, name)
    finally:
        drop_database(server, name)
