import asyncio
import threading
from dataclasses import replace

import psycopg
import pytest
from tests.support.postgres import Connection, with_database
from tests.support.worker_process import run_command

from queueworker.connection import connect, connect_sync
from queueworker.dsn import Dsn
from queueworker.errors import (
    MigrationChanged,
    PermissionDenied,
    SchemaMismatch,
    UnsupportedDatabase,
)
from queueworker.schema import check_version, latest_version, migrate, migrations
from queueworker.store import Store

pytestmark = pytest.mark.postgres


def test_migrating_twice_changes_nothing_the_second_time(empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        first = migrate(conn)
        second = migrate(conn)

    assert first.version == latest_version()
    assert len(first.applied) == len(migrations())
    assert second.applied == ()


def test_of_two_migrators_at_once_one_does_the_work(empty_dsn: str) -> None:
    reports: list[int] = []

    def run() -> None:
        with psycopg.connect(empty_dsn, autocommit=True) as conn:
            reports.append(len(migrate(conn).applied))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(reports) == [0, 0, 0, len(migrations())]


def test_an_edited_migration_is_refused(conn: Connection) -> None:
    edited = [*migrations()[:-1], replace(migrations()[-1], text="SELECT 1")]

    with pytest.raises(MigrationChanged, match=migrations()[-1].name):
        migrate(conn, files_=edited)


def test_a_newer_schema_is_refused_by_older_code(conn: Connection) -> None:
    with pytest.raises(SchemaMismatch, match=str(latest_version())):
        migrate(conn, files_=migrations()[:-1])


def test_a_failing_migration_leaves_nothing_behind(empty_dsn: str) -> None:
    broken = replace(migrations()[0], version=99, name="0099_broken", text="SELECT 1/0")
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        with pytest.raises(Exception, match="SQLSTATE 22012"):
            migrate(conn, files_=[*migrations(), broken])
        found = conn.execute("SELECT to_regnamespace('queueworker')").fetchone()

    assert found == (None,)


def test_a_role_without_rights_is_told_what_it_needs(empty_dsn: str, server: str) -> None:
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS nobody_special")
        admin.execute("CREATE ROLE nobody_special LOGIN")
    database = dict(part.split("=") for part in empty_dsn.split())["dbname"]
    with (
        psycopg.connect(
            with_database(server, database, user="nobody_special"), autocommit=True
        ) as c,
        pytest.raises(PermissionDenied, match="owner of the database"),
    ):
        migrate(c)


def test_the_schema_belongs_to_the_owner_role_not_to_the_superuser(conn: Connection) -> None:
    owners = conn.execute(
        "SELECT DISTINCT relowner::regrole::text FROM pg_class"
        " WHERE relnamespace = 'queueworker'::regnamespace"
        " UNION SELECT proowner::regrole::text FROM pg_proc"
        " WHERE pronamespace = 'queueworker'::regnamespace"
    ).fetchall()

    assert owners == [("queueworker_owner",)]


def test_no_function_is_executable_by_everybody_and_none_follows_the_callers_search_path(
    conn: Connection,
) -> None:
    conn.execute("CREATE ROLE stranger_of_functions")
    try:
        open_functions = conn.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'queueworker'::regnamespace"
            " AND has_function_privilege('stranger_of_functions', oid, 'EXECUTE')"
        ).fetchall()
    finally:
        conn.execute("DROP ROLE stranger_of_functions")
    loose = conn.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'queueworker'::regnamespace"
        " AND NOT coalesce(proconfig @> ARRAY['search_path=pg_catalog, queueworker, pg_temp'], false)"
        " AND prosqlbody IS NULL"  # bound when it was made
    ).fetchall()

    assert open_functions == []
    assert loose == []


def test_a_priority_outside_0_to_9_cannot_be_stored(conn: Connection) -> None:
    conn.execute("SELECT queueworker.ensure_queue('mail')")

    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute("INSERT INTO queueworker.lane (queue_id, task, priority) VALUES (1, 'a', 10)")


def test_no_index_mentions_what_a_claim_changes(conn: Connection) -> None:
    definitions = conn.execute(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'queueworker' AND tablename LIKE 'job%'"
    ).fetchall()

    assert len(definitions) >= 4
    assert not [text for (text,) in definitions if "token" in text or "attempt" in text]


def test_a_database_that_cannot_store_every_text_is_refused(server: str) -> None:
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    latin = psycopg.conninfo.make_conninfo(server, dbname="latin")

    migrated = run_command(latin, "migrate")

    async def start() -> None:
        async with await connect(Dsn.parse(latin), application_name="test") as conn:
            await check_version(Store(conn))

    assert migrated.returncode != 0
    assert "the database has the encoding LATIN1, the queue needs UTF8" in migrated.stderr
    with pytest.raises(UnsupportedDatabase, match="LATIN1"):
        asyncio.run(start())


def test_any_text_can_be_sent_whatever_the_environment_says(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with connect_sync(Dsn.parse(dsn), application_name="test") as conn:
        assert conn.execute("SELECT %s::text", ("\u2192",)).fetchone() == ("\u2192",)
