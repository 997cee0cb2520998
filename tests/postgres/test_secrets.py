"""After a run whose handlers raise the address itself, its password stands nowhere but in the environment."""

import asyncio
from pathlib import Path

import pytest
from psycopg import sql
from tests.support.postgres import CANARY
from tests.support.secret_tasks import TASKS
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess, run_command

from queueworker import App
from queueworker.job import Job

pytestmark = pytest.mark.postgres

APP = ("--app", "tests.support.secret_tasks:app")
TEXTS = """
    SELECT table_name, column_name
    FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema = 'queueworker' AND table_type = 'BASE TABLE'
"""


def tree(pid: str) -> set[str]:
    """Give a process and all that it started."""
    children = {
        child
        for thread in Path(f"/proc/{pid}/task").glob("*/children")
        for child in thread.read_text().split()
    }
    return {pid}.union(*(tree(child) for child in children))


def shown_by_ps(pid: str) -> str:
    """Give what everybody may read of a process: its title, its arguments and its threads' names."""
    names = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/comm")]
    return Path(f"/proc/{pid}/cmdline").read_text() + "".join(names)


def columns_with(bench: Bench, text: str) -> list[str]:
    """Name the columns of the schema's tables that have a text in a row, of whatever type they are."""
    found = []
    for table, column in bench.conn.execute(TEXTS).fetchall():
        query = sql.SQL("SELECT count(*) FROM queueworker.{} WHERE {}::text LIKE %s").format(
            sql.Identifier(table), sql.Identifier(column)
        )
        if bench.one(query.as_string(bench.conn), f"%{text}%"):
            found.append(f"{table}.{column}")
    return found


def test_handlers_that_raise_the_address_leave_no_password_in_tables_logs_or_pages(
    dsn: str, bench: Bench
) -> None:
    assert CANARY in dsn
    with WorkerProcess(dsn, *APP, environ={"QUEUEWORKER_LOG_FORMAT": "json"}) as worker:
        port, _ = worker.identity(1)
        jobs = [bench.enqueue(task, max_attempts=2)[0] for task in TASKS]
        bench.until_gone(*jobs, within_s=60)
        pages = [worker.probe(path)[1] for path in ("/metrics", "/livez", "/readyz", "/")]
        assert port
        assert worker.stop() == 0

    dead = bench.one("SELECT count(*) FROM queueworker.dead_job")
    assert dead == len(TASKS)
    # The errors did quote the address: all of it but the password.
    assert bench.one("SELECT bool_and(error LIKE '%%***%%') FROM queueworker.failure")
    # Two attempts each; a discarded job has one.
    assert bench.one("SELECT count(*) FROM queueworker.failure") == 2 * len(TASKS) - 1
    assert columns_with(bench, CANARY) == []
    assert "***" in worker.log
    assert CANARY not in worker.log
    assert CANARY not in "".join(pages)
    for command in (("dead", "list"), ("dead", "show", str(jobs[0])), ("stats",)):
        done = run_command(dsn, *command)
        assert done.returncode == 0, done.stderr
        assert CANARY not in done.stdout + done.stderr


def test_a_search_of_the_columns_finds_what_is_there(bench: Bench) -> None:
    bench.enqueue("quick", note="needle-in-arguments")

    # Once by its parent table, once by its partition.
    found = columns_with(bench, "needle-in-arguments")
    assert sorted(found) == ["job.args", "job_default.args"]
    assert "queue.name" in columns_with(bench, "mail")


def test_no_password_stands_in_the_arguments_or_titles_of_a_worker_and_its_children(
    dsn: str, bench: Bench
) -> None:
    with WorkerProcess(dsn) as worker:
        worker.ready()
        (job,) = bench.enqueue("process_nap", seconds=300)
        bench.until_noted(job)
        pids = wait_until(
            lambda: found if len(found := tree(worker.pid)) >= 3 else None,
            what="the worker, the process of the job, and its child",
        )
        said = "".join(shown_by_ps(pid) for pid in pids)

        # They have it, where only their user may read it.
        assert CANARY in Path(f"/proc/{worker.pid}/environ").read_text()
        assert "queueworker" in said
        assert "sleep" in said
        assert CANARY not in said


def test_no_password_is_seen_in_the_sessions_of_workers_commands_and_producers(
    dsn: str, bench: Bench
) -> None:
    async def enqueue() -> None:
        async with App(dsn) as app:
            await app.enqueue(Job(task="nap", queue="mail", args={"seconds": 0}))
            said.append(repr(bench.conn.execute("SELECT * FROM pg_stat_activity").fetchall()))

    said: list[str] = []
    with WorkerProcess(dsn) as worker:
        worker.ready()
        (job,) = bench.enqueue("nap", seconds=30)
        bench.until_noted(job)
        asyncio.run(enqueue())
        names = bench.one("SELECT string_agg(application_name, ' ') FROM pg_stat_activity")

    assert "queueworker" in names
    assert CANARY not in said[0] + names
