"""Answers that no honest server gives, and a process that reads them: `python -m tests.support.large_answers DSN`."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.settings import DatabaseSettings

# It is the size that ends these calls, on however slow a machine.
PATIENT = DatabaseSettings(connect_timeout_s=60.0, call_timeout_s=60.0, retry_s=0.0)

MAKE = """
    ALTER FUNCTION queueworker.queue_lag(text[]) RENAME TO honest_lag;
    CREATE FUNCTION queueworker.queue_lag(queues text[]) RETURNS {result} LANGUAGE sql STABLE AS
      $$ SELECT {queue}, {rest} FROM queueworker.honest_lag(queues) AS h {more} $$
"""
MANY_ROWS = ("h.queue", "CROSS JOIN LATERAL (SELECT generate_series(1, 10000000)) AS many")
LONG_NAME = ("repeat('x', 200000000)", "")


def replace_queue_lag(dsn: str, queue: LiteralString, more: LiteralString) -> None:
    """Do what the schema's owner can: let `queue_lag` give something else."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        found = conn.execute("SELECT * FROM queueworker.queue_lag('{}')").description or ()
        rest = [sql.Identifier("h", column.name) for column in found[1:]]
        named = "SELECT pg_get_function_result('queueworker.queue_lag'::regproc)"
        [result] = conn.execute(named).fetchone() or ()
        conn.execute(
            sql.SQL(MAKE).format(
                result=sql.SQL(result),
                queue=sql.SQL(queue),
                rest=sql.SQL(", ").join(rest),
                more=sql.SQL(more),
            )
        )


def peak_mb() -> float:
    """Give the most memory that this process ever had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def read(dsn: str) -> dict[str, object]:
    """Read one queue twice; tell the last refusal and how much memory that took."""
    source, refusal, before_mb = PostgresLag(dsn, settings=PATIENT), "", peak_mb()
    for _ in range(2):
        try:
            await source.read(["mail"])
        except LagUnavailable as exc:
            refusal = str(exc)
    await source.close()
    return {"refusal": refusal, "grown_mb": peak_mb() - before_mb}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read(sys.argv[1]))))  # noqa: T201 -- its answer
