"""An app, one task and jobs for tests of producers."""

from typing import Any

from tests.support.postgres import Connection

from queueworker import App, Job

app = App()


@app.task(queue="mail")
async def send_mail(to: str = "x") -> None:
    """Stand for a task; never run here."""


def job(n: object = 0, **options: Any) -> Job:
    return Job(**{"task": "a", "queue": "mail", "args": {"n": n}, **options})


def count(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) FROM queueworker.job").fetchone()
    assert row is not None
    return int(row[0])


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def jobs_of(conn: Connection) -> list[tuple[object, ...]]:
    return conn.execute(
        "SELECT queue, task, priority, state, max_attempts, timeout_s, args"
        " FROM queueworker.jobs ORDER BY id"
    ).fetchall()
