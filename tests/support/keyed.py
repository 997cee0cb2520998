"""Jobs with a unique key."""

from typing import Any

from tests.support.postgres import Connection

from queueworker import App, Job

app = App()


def job(n: int = 0, **options: Any) -> Job:
    fields: dict[str, Any] = {"task": "a", "queue": "mail", "unique_key": "k", "args": {"n": n}}
    return Job(**{**fields, **options})


def rows(conn: Connection) -> list[tuple[Any, ...]]:
    return conn.execute(
        "SELECT id, state, priority, attempt, args ->> 'n' FROM queueworker.jobs ORDER BY id"
    ).fetchall()
