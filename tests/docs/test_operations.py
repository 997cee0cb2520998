"""The pages about running a database: a managed one, a newer schema, a restored dump, and sizes."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.rows import tuple_row
from tests.support.engine import engine
from tests.support.own_server import OwnServer, _binaries
from tests.support.pages import ROOT, blocks
from tests.support.postgres import CANARY, Connection, with_database
from tests.support.reader import environment, follow
from tests.support.tls_proxy import tls_in_front_of

from queueworker.schema import migrations
from queueworker.schema.migrate import _apply
from queueworker.statements import statement

OPERATIONS = ["managed-postgres", "upgrades", "disaster", "sizing"]
ADMINISTRATOR = f"CREATE ROLE cloud_admin LOGIN CREATEROLE CREATEDB PASSWORD '{CANARY}'"
LANE = """
    INSERT INTO queueworker.lane (queue_id, task, priority)
    SELECT id, %(task)s, 0 FROM queueworker.queue WHERE name = 'mail' ON CONFLICT DO NOTHING
"""
FINISHED = """
    INSERT INTO queueworker.finished_job (id, finished_at, created_at, run_at, claimed_at, lane_id,
      queue_id, attempt, max_attempts, crash_count, state, args)
    SELECT n, now(), now(), now(), now() - make_interval(secs => %(seconds)s), l.id, l.queue_id,
      1, 5, 0, 'succeeded', '{}'
    FROM queueworker.lane AS l, generate_series(1, %(count)s) AS n WHERE l.task = %(task)s
"""


@pytest.fixture
def other_server() -> Iterator[OwnServer]:
    """Give a server on which nothing of the queue is."""
    server = OwnServer(Path(f"/tmp/qw-other-{os.getpid()}"))  # noqa: S108 - short, for the socket
    try:
        yield server.start()
    finally:
        server.remove()


def page(name: str) -> Path:
    return ROOT / f"docs/howto/{name}.md"


def test_an_owner_without_superuser_has_all_that_is_needed(
    other_server: OwnServer, tmp_path: Path
) -> None:
    other_server.execute(ADMINISTRATOR, "CREATE DATABASE shop OWNER cloud_admin")
    with tls_in_front_of(other_server.socket, tmp_path) as tls:
        given = environment("", tmp_path) | {
            "PGHOST": "localhost",
            "PGPORT": str(tls.port),
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(tls.certificate),
            "ADMIN_PASSWORD": CANARY,
        }
        follow(page("managed-postgres"), tmp_path, given)

    with psycopg.connect(with_database(f"host={other_server.host}", "shop")) as conn:
        owners = conn.execute(
            "SELECT DISTINCT rolname, rolsuper FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner"
            " WHERE relnamespace = 'queueworker'::regnamespace"
        ).fetchall()
        extensions = conn.execute("SELECT extname FROM pg_extension").fetchall()
    assert owners == [("queueworker_owner", False)]
    assert extensions == [("plpgsql",)]


def migrate_to_the_version_before(conn: Connection) -> None:
    with conn.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(statement("migration_create_schema"))
        cursor.execute(statement("migration_create_table"))
        for migration in migrations()[:-1]:
            _apply(cursor, migration)


def test_a_worker_waits_for_its_schema_and_goes_on_when_it_is_there(
    empty_dsn: str, tmp_path: Path
) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        migrate_to_the_version_before(conn)

    follow(page("upgrades"), tmp_path, environment(empty_dsn, tmp_path))


async def leave_work_behind(dsn: str) -> None:
    """Leave a job that runs, 20 that wait and a newsletter; burn the numbers of transactions."""
    async with engine(dsn, "mail") as e:
        worker = await e.worker(pod="pod-of-the-past", ttl_s=0.5)
        for number in range(21):
            args = f'{{"number": {number}}}'
            await e.conn.execute("SELECT queueworker.enqueue('mail', 'send_mail', %s)", (args,))
        await e.claim(worker, tasks=("send_mail",), started=1)
        await e.enqueue(task="send_newsletter")
        for _ in range(3000):
            await e.conn.execute("SELECT pg_current_xact_id()")
        await e.sweep()
        await asyncio.sleep(1)
        await e.sweep()


def test_a_dump_that_is_restored_elsewhere_goes_on(
    dsn: str, other_server: OwnServer, tmp_path: Path
) -> None:
    asyncio.run(leave_work_behind(dsn))
    other_server.execute("CREATE DATABASE restored")
    new_dsn = with_database(f"host={other_server.host}", "restored")
    given = environment(dsn, tmp_path) | {"NEW_DSN": new_dsn}

    follow(page("disaster"), tmp_path, given | {"PATH": f"{_binaries()}:{given['PATH']}"})

    with psycopg.connect(new_dsn, autocommit=True) as conn:
        left = conn.execute("SELECT count(*), max(crash_count) FROM queueworker.job").fetchone()
        stale = conn.execute(
            "SELECT count(*) FROM queueworker.queue WHERE tick_xid > pg_current_xact_id()"
        ).fetchone()
    assert left == (0, None)
    assert stale == (0,)


def test_sizes_are_read_from_what_finished_and_from_a_simulation(dsn: str, tmp_path: Path) -> None:
    rows = [("send_mail", 1, 196), ("send_mail", 3, 4), ("report", 40, 19), ("report", 90, 1)]
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT queueworker.ensure_queue('mail')")
        conn.execute("SELECT queueworker.queue_retain('mail', finished => '2 days')")
        for task, seconds, count in rows:
            named = {"task": task, "seconds": seconds, "count": count}
            conn.execute(LANE, named)
            conn.execute(FINISHED, named)

    follow(page("sizing"), tmp_path, environment(dsn, tmp_path))


def manifest(title: str) -> dict[str, Any]:
    [text] = [block.text for block in blocks(page("gitops")) if block.title == title]
    body: dict[str, Any] = yaml.safe_load(text)
    return body


def test_the_tools_of_gitops_leave_the_replicas_of_that_deployment_alone() -> None:
    deployment = manifest("deployment.yaml")
    argo = manifest("application.yaml")["spec"]
    [flux] = manifest("helmrelease.yaml")["spec"]["postRenderers"]
    [patch] = flux["kustomize"]["patches"]
    [ignored] = argo["ignoreDifferences"]
    named = {"kind": "Deployment", "name": deployment["metadata"]["name"]}

    assert "replicas" not in deployment["spec"]
    assert ignored == named | {"group": "apps", "jsonPointers": ["/spec/replicas"]}
    assert "RespectIgnoreDifferences=true" in argo["syncPolicy"]["syncOptions"]
    assert patch["target"] == named
    assert yaml.safe_load(patch["patch"]) == [{"op": "remove", "path": "/spec/replicas"}]
