"""Wrong calls and hostile payloads are refused with a reason."""

import asyncio
from collections.abc import Callable

import psycopg
import pytest
from tests.support.postgres import Connection
from tests.support.producing import app, count, deep, job, send_mail

from queueworker import EnqueueRefused, InvalidCall

pytestmark = pytest.mark.postgres


def test_wrong_calls_say_what_to_write_instead(dsn: str) -> None:
    async def scenario() -> None:
        with psycopg.connect(dsn) as sync:
            with pytest.raises(
                InvalidCall, match=r"send_mail was not called; write enqueue\(send_mail\("
            ):
                await app.enqueue(send_mail)  # type: ignore[arg-type]
            with pytest.raises(InvalidCall, match="call enqueue_sync"):
                await app.enqueue(send_mail(), sync)  # type: ignore[arg-type]
            with pytest.raises(InvalidCall, match="call enqueue_sync"):
                await app.enqueue_many([send_mail()], sync)  # type: ignore[arg-type]
        async with await psycopg.AsyncConnection.connect(dsn) as mine:
            with pytest.raises(InvalidCall, match="await enqueue"):
                app.enqueue_sync(send_mail(), mine)  # type: ignore[arg-type]
            with pytest.raises(InvalidCall, match="await enqueue"):
                app.enqueue_many_sync([send_mail()], mine)  # type: ignore[arg-type]

    asyncio.run(scenario())
    with pytest.raises(InvalidCall, match="was not called"):
        app.enqueue_many_sync([send_mail])  # type: ignore[list-item]
    with pytest.raises(InvalidCall, match="takes a list"):
        app.enqueue_many_sync(send_mail())  # type: ignore[arg-type]
    with pytest.raises(InvalidCall, match="not dict"):
        app.enqueue_sync({"task": "a"})  # type: ignore[arg-type]
    with pytest.raises(InvalidCall, match=r"not str.*Django"):
        app.enqueue_sync(send_mail(), "postgresql://x")  # type: ignore[arg-type]


def test_no_jobs_are_no_work(dsn: str, conn: Connection) -> None:
    with psycopg.connect(dsn) as mine:
        assert app.enqueue_many_sync([], mine) == []
    assert (
        conn.execute("SELECT * FROM queueworker.enqueue_many('mail', 'a', '{}')").fetchall() == []
    )
    assert conn.execute(
        "SELECT queueworker.enqueue_batch('mail', 'a', '[]', 0, 5, NULL)"
    ).fetchone() == ([],)


BOMBS: dict[str, Callable[[], object]] = {
    "100 MB": lambda: "y" * 100_000_000,
    "depth 1e5": lambda: deep(100_000),
    "depth 500": lambda: deep(500),
    "1e400": lambda: float("1e400"),
    "not a number": lambda: float("nan"),
    "NUL": lambda: "\0",
    "lone surrogate": lambda: "\ud800",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_payload_bomb_is_refused_in_python(name: str, dsn: str, conn: Connection) -> None:
    bomb = job(BOMBS[name]())
    calls = (
        lambda mine: app.enqueue_sync(bomb, mine),
        lambda mine: app.enqueue_many_sync([job(), bomb, job()], mine),
        lambda mine: app.enqueue_many_sync([job(unique_key="k"), bomb.using(delay_s=9)], mine),
    )
    with psycopg.connect(dsn, autocommit=True) as mine:
        for call in calls:
            with pytest.raises(EnqueueRefused, match=r"task 'a'|nested"):
                call(mine)

        assert app.enqueue_sync(job(), mine) is not None
    assert count(conn) == 1


SQL_BOMBS = {
    "100 MB": ("jsonb_build_object('x', repeat('y', 100000000))", "1 MiB"),
    "depth 500": ("(repeat('{\"x\":', 500) || '1' || repeat('}', 500))::jsonb", "nested"),
    "depth 1e5": ("(repeat('{\"x\":', 100000) || '1' || repeat('}', 100000))::jsonb", "stack depth"),
    "1e400": ("'{\"x\": 1e400}'", "beyond the range"),
    "-1e400": ("'{\"x\": [{\"y\": -1e400}]}'", "beyond the range"),
    "a number of 131,000 digits": ("'{\"x\": 1e131000}'", "beyond the range"),
    "NUL": ("'{\"x\": \"\\u0000\"}'", "Unicode"),
    "lone surrogate": ("'{\"x\": \"\\ud800\"}'", "json"),
    "no object": ("'[1]'", "JSON object"),
    "null": ("NULL", "JSON object"),
}  # fmt: skip
CALLS = {
    "enqueue": "SELECT queueworker.enqueue('mail', 'a', {})",
    "enqueue_many": "SELECT * FROM queueworker.enqueue_many('mail', 'a', ARRAY['{{}}', {}, '{{}}']::jsonb[])",
    "keyed": "SELECT * FROM queueworker.enqueue_many('mail', 'a', ARRAY[{}]::jsonb[], unique_keys => ARRAY['k'])",
    "batch": "SELECT queueworker.enqueue_batch('mail', 'a', '[{{}},' || coalesce(({})::text, 'null') || ']', 0, 5, NULL)",
}  # fmt: skip


@pytest.mark.parametrize("name", SQL_BOMBS)
def test_a_payload_bomb_is_refused_in_sql(name: str, conn: Connection) -> None:
    expression, reason = SQL_BOMBS[name]
    conn.execute("SELECT queueworker.enqueue('mail', 'a')")
    for call in CALLS.values():
        with pytest.raises(psycopg.Error, match=f"(?i){reason}"):
            conn.execute(call.format(expression))

    assert count(conn) == 1


def test_large_and_exact_numbers_that_a_double_holds_are_accepted(conn: Connection) -> None:
    args = '{"a": 1.7e308, "b": 1e-400, "c": 12345678901234567890123456789, "d": "1e400", "e": "9e999"}'
    conn.execute("SELECT queueworker.enqueue('mail', 'a', %s::jsonb)", (args,))
    conn.execute("SELECT * FROM queueworker.enqueue_many('mail', 'a', ARRAY[%s::jsonb])", (args,))

    assert count(conn) == 2
