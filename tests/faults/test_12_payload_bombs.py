"""Row 12: payload bombs are refused at enqueue, by the library and by SQL."""

import asyncio
import json
from collections.abc import Callable

import psycopg
import pytest
from tests.support.ledger_tasks import app
from tests.support.worker_process import Bench

from queueworker import QueueWorkerError
from queueworker.job import Job

HUGE = "x" * (100 << 20)
DEEP = 100_000


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


BOMBS: dict[str, Callable[[], object]] = {
    "4 MB": lambda: HUGE[: 4 << 20],
    "depth 100,000": lambda: nested(DEEP),
    "depth 65": lambda: nested(65),
    "infinity": lambda: float("1e400"),
    "not a number": lambda: float("nan"),
    "NUL": lambda: "a\0b",
    "lone surrogate": lambda: "\ud800",
    "an object": object,
    "bytes": lambda: b"x",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_row_12_the_library_refuses_a_bomb_and_its_connection_goes_on(
    dsn: str, bench: Bench, bomb: str
) -> None:
    job = Job(task="quick", queue="mail", args={"number": BOMBS[bomb]()})

    async def story() -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            with pytest.raises(QueueWorkerError) as refusal:
                await app.enqueue(job, conn=conn)
            assert len(str(refusal.value)) < 2000
            await app.enqueue(Job(task="quick", queue="mail", args={}), conn=conn)

    asyncio.run(story())

    assert bench.one("SELECT count(*) FROM queueworker.job") == 1


TEXTS: dict[str, Callable[[], str]] = {
    "100 MB": lambda: json.dumps({"number": HUGE}),
    "depth 100,000": lambda: '{"number": ' + "[" * DEEP + "]" * DEEP + "}",
    "depth 65": lambda: '{"number": ' + "[" * 65 + "]" * 65 + "}",
    "1e400": lambda: '{"number": 1e400}',
    "NUL": lambda: '{"number": "\\u0000"}',
    "lone surrogate": lambda: '{"number": "\\ud800"}',
    "not an object": lambda: "[1]",
    "null": lambda: "null",
}


@pytest.mark.parametrize("bomb", TEXTS)
def test_row_12_sql_refuses_a_bomb(bench: Bench, bomb: str) -> None:
    with pytest.raises(psycopg.Error):
        bench.conn.execute(
            "SELECT queueworker.enqueue('mail', 'quick', %s::jsonb)", (TEXTS[bomb](),)
        )

    assert bench.one("SELECT count(*) FROM queueworker.job") == 0
