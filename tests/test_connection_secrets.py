"""What fails at a real connection keeps its password."""

import asyncio

import psycopg
import pytest
from tests.support.addresses import everything_said
from tests.support.postgres import CANARY

from queueworker.connection import connect, connect_sync
from queueworker.dsn import Dsn
from queueworker.errors import DatabaseUnavailable, QueueWorkerError

UNREACHABLE = [
    f"postgresql://user:{CANARY}@127.0.0.1:1/jobs",
    f"host=/nonexistent user=user password={CANARY} dbname=jobs",
    f"postgresql://user:{CANARY}@name.invalid:5432/jobs",
]


@pytest.mark.parametrize("dsn", UNREACHABLE)
def test_an_unreachable_database_is_named_without_its_password(dsn: str) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        connect_sync(Dsn.parse(dsn), application_name="test")
    with pytest.raises(DatabaseUnavailable) as caught_async:
        asyncio.run(connect(Dsn.parse(dsn), application_name="test"))

    for error in (caught.value, caught_async.value):
        assert CANARY not in everything_said(error)
        assert "jobs" in str(error)


@pytest.mark.postgres
def test_errors_of_a_working_connection_keep_the_password(dsn: str) -> None:
    assert CANARY in dsn
    said = []
    for bad in (
        dsn.replace("dbname=", "dbname=no_such_"),
        dsn.replace("postgres ", "nobody_here "),
    ):
        with pytest.raises(QueueWorkerError) as caught:
            connect_sync(Dsn.parse(bad), application_name="test")
        said.append(everything_said(caught.value))

    assert CANARY not in "".join(said)


@pytest.mark.postgres
def test_no_password_is_stored_in_the_database(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        rows = conn.execute("SELECT * FROM pg_stat_activity").fetchall()

    assert CANARY not in repr(rows)
