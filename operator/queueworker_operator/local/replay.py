"""Enqueue a trace at its times, and ask the database what became of the jobs."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow, dict_row

from queueworker_operator.errors import LagUnavailable
from queueworker_operator.local.trace import Arrival


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How often a job was started, by the ledger, and when first (database epoch seconds)."""

    starts: int
    first_start_s: float


class Replay:
    """The jobs of one trace in one queue.

    Args:
        arrivals: When which job comes, in order.
        queue: Where they go.
        task: The task that each calls.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        arrivals: Sequence[Arrival],
        queue: str,
        task: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.arrivals = arrivals
        self.queue = queue
        self.task = task
        self.enqueued_at_s: dict[int, float] = {}
        self._clock = clock

    async def run(self, dsn: str) -> None:
        """Enqueue all arrivals, each in a transaction of its own, none before its time.

        Raises:
            LagUnavailable: the database refused, or went away.
        """
        start_s = self._clock()
        try:
            async with await connect(dsn) as connection:
                for arrival in self.arrivals:
                    delay_s = start_s + arrival.at_s - self._clock()
                    if delay_s > 0:
                        await asyncio.sleep(delay_s)
                    await self._enqueue(connection, arrival)
        except psycopg.Error as exc:
            complaint = exc.diag.message_primary or "the connection was lost"
            raise LagUnavailable(f"the replay stopped: {complaint}") from exc

    async def _enqueue(self, connection: psycopg.AsyncConnection[DictRow], job: Arrival) -> None:
        values = {
            "queue": self.queue,
            "task": self.task,
            "arguments": json.dumps(dict(job.arguments)),
        }
        [row] = await fetch(connection, "enqueue", values)
        self.enqueued_at_s[row["id"]] = row["at_s"]


async def connect(dsn: str) -> psycopg.AsyncConnection[DictRow]:
    """Open a connection for single statements."""
    return await psycopg.AsyncConnection.connect(dsn, autocommit=True, row_factory=dict_row)


async def fetch(
    connection: psycopg.AsyncConnection[DictRow], name: str, values: Mapping[str, Any]
) -> list[DictRow]:
    """Run the query of that name."""
    cursor = await connection.execute(_query(name), values)
    return await cursor.fetchall()


async def unfinished(
    connection: psycopg.AsyncConnection[DictRow], queues: Sequence[str]
) -> dict[int, str]:
    """Give the state of each job of `queues` that has not succeeded."""
    rows = await fetch(connection, "unfinished", {"queues": list(queues)})
    return {row["id"]: row["state"] for row in rows}


async def runs(
    connection: psycopg.AsyncConnection[DictRow], ids: Sequence[int]
) -> dict[int, Run] | None:
    """Read the ledger of jobs `ids`; None when the tasks keep none."""
    [row] = await fetch(connection, "has_ledger", {})
    if not row["has_ledger"]:
        return None
    rows = await fetch(connection, "runs", {"ids": list(ids)})
    return {row["id"]: Run(starts=row["runs"], first_start_s=row["started_s"]) for row in rows}


@cache
def _query(name: str) -> LiteralString:
    return files(__package__).joinpath("queries", f"{name}.sql").read_text(encoding="utf-8")
