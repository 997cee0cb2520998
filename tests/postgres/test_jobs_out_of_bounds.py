"""A job out of bounds is refused with its reason, and one within them is not."""

from collections.abc import Callable

import psycopg
import pytest
from tests.support.postgres import Connection
from tests.support.producing import app, deep, jobs_of

from queueworker import EnqueueRefused
from queueworker.job import Job

pytestmark = pytest.mark.postgres

REFUSED: dict[str, tuple[Callable[[], Job], str]] = {
    "too large": (lambda: Job(task="t", queue="q", args={"x": "y" * 1_100_000}), "1 MiB"),
    "too deep": (lambda: Job(task="t", queue="q", args={"x": deep(70)}), "nested"),
    "far too deep": (lambda: Job(task="t", queue="q", args={"x": deep(900)}), "nested"),
    "priority": (lambda: Job(task="t", queue="q", args={}, priority=10), "priority"),
    "no attempts": (lambda: Job(task="t", queue="q", args={}, max_attempts=0), "max_attempts"),
    "timeout": (lambda: Job(task="t", queue="q", args={}, timeout_s=-1), "timeout_s"),
    "queue": (lambda: Job(task="t", queue="a b", args={}), "name is not valid"),
    "task": (lambda: Job(task="", queue="q", args={}), "1 to 200"),
    "NUL in the queue": (lambda: Job(task="t", queue="q\0", args={}), "queue has a character"),
    "surrogate in the task": (
        lambda: Job(task="\ud800", queue="q", args={}),
        "task has a character",
    ),
    "surrogate": (lambda: Job(task="t", queue="q", args={"x": "\ud800"}), "."),
    "NUL": (lambda: Job(task="t", queue="q", args={"x": "\0"}), "."),
    "not a number": (lambda: Job(task="t", queue="q", args={"x": float("nan")}), "JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_job_out_of_bounds_is_refused_with_its_reason(
    name: str, dsn: str, conn: Connection
) -> None:
    build, reason = REFUSED[name]
    with psycopg.connect(dsn) as mine, pytest.raises(EnqueueRefused, match=reason):
        app.enqueue_sync(build(), mine)

    assert jobs_of(conn) == []


def test_64_levels_and_nearly_a_mebibyte_are_accepted(dsn: str, conn: Connection) -> None:
    with psycopg.connect(dsn) as mine:
        app.enqueue_sync(Job(task="t", queue="q", args={"x": deep(62)}), mine)
        app.enqueue_sync(Job(task="t", queue="q", args={"x": "y" * 1_000_000}), mine)

    assert len(jobs_of(conn)) == 2
