"""The single blocks of pages that are not done from top to bottom: each runs, in a place made for it."""

import asyncio
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from tests.support.pages import ROOT, Block, block_of
from tests.support.postgres import Connection
from tests.support.reader import environment
from tests.support.waiting import wait_until

from queueworker import App

Names = dict[str, Any]
QUEUED = (
    "SELECT task, args->>'to', state, priority FROM queueworker.jobs ORDER BY task, args->>'to'"
)


def names_of(*found: Block) -> Names:
    """Run Python blocks one after the other; give the names that they leave."""
    names: Names = {}
    for block in found:
        exec(compile(block.text, str(block.page), "exec"), names)  # noqa: S102 - the page's own
    return names


@pytest.fixture
def account(dsn: str, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Give a database with the table that pages write to, named by QUEUEWORKER_DSN."""
    monkeypatch.setenv("QUEUEWORKER_DSN", dsn)
    conn.execute("CREATE TABLE account (id bigint, email text, address text)")
    return conn


async def signed_up(dsn: str, names: Names, *arguments: Any) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await names["sign_up"](conn, *arguments)


def test_the_readmes_sign_up_writes_an_account_and_its_mail(dsn: str, account: Connection) -> None:
    names = names_of(block_of("README.md", "async def sign_up"))

    asyncio.run(signed_up(dsn, names, "a@example.org"))

    assert account.execute("SELECT email FROM account").fetchall() == [("a@example.org",)]
    assert account.execute(QUEUED).fetchall() == [("send_mail", "a@example.org", "ready", 0)]


def test_the_calls_that_cancel_give_what_the_job_was(dsn: str, account: Connection) -> None:
    lines = block_of("docs/howto/cancel.md", "was = await").text.splitlines()
    body = "\n".join(f"    {line}" for line in lines)
    names: Names = {"app": App(dsn), "conn": account}
    exec(f"async def cancel(job_id):\n{body}\n    return was", names)  # noqa: S102
    (job,) = account.execute("SELECT queueworker.enqueue('mail', 'a')").fetchone() or (0,)

    async def cancel() -> Any:
        async with names["app"]:
            return await names["cancel"](job)

    assert asyncio.run(cancel()) is None  # the second call: it has ended
    assert account.execute("SELECT count(*) FROM queueworker.jobs").fetchone() == (0,)


def test_an_app_takes_over_the_tasks_of_its_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", package)
    for name in ("billing", "mail"):
        module = ModuleType(f"shop.{name}")
        app = App()
        app.task(name=name)(lambda: None)
        vars(module)["app"] = app
        vars(package)[name] = module
        monkeypatch.setitem(sys.modules, f"shop.{name}", module)

    names = names_of(block_of("docs/howto/write-tasks.md", "app.include(billing.app)"))

    assert {task.name for task in names["app"].tasks} == {"billing", "mail"}


def test_arrivals_are_copied_out_of_any_table(conn: Connection) -> None:
    conn.execute("CREATE TABLE my_jobs AS SELECT now() AS created_at FROM generate_series(1, 3)")
    text = block_of("docs/howto/simulate.md", "COPY (").text.strip().rstrip(";")

    with conn.cursor().copy(text.encode()) as copied:
        lines = b"".join(bytes(part) for part in copied).decode().splitlines()

    assert lines[0] == "t_s,arrivals"
    assert sum(int(line.split(",")[1]) for line in lines[1:]) == 3


TASKS = """
from queueworker import App
app = App()
@app.task(queue="mail")
def a() -> None: ...
"""


@pytest.mark.parametrize("words", ["--queue mail:3", "--queue bulk:1:max=15"])
def test_the_workers_of_the_page_about_queues_start(words: str, dsn: str, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/tasks.py").write_text(TASKS)
    command = shlex.split(block_of("docs/howto/queues.md", words).text)
    log = tmp_path / "log"
    with log.open("w") as output:
        worker = subprocess.Popen(
            [ROOT / ".venv/bin" / command[0], *command[1:], "--port", "0"],
            cwd=tmp_path,
            env=environment(dsn, tmp_path),
            stderr=output,
        )
    try:
        wait_until(lambda: "ready: port" in log.read_text(), what="a worker")
    finally:
        worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
