"""Statements behind a pooler in transaction mode, which gives each transaction any session.

There each transaction brings its own settings, and no statement is prepared (docs/decisions/0018).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import Params, Query
from psycopg.pq import TransactionStatus

from queueworker.compat import override
from queueworker.statements import statement

Row = TypeVar("Row")


class WorkerConnection(psycopg.AsyncConnection[Any]):
    """A connection that knows whether a pooler stands before the server.

    `carried` are the settings that each transaction must bring: none where the session has them.
    """

    carried: Mapping[str, str] = {}

    @property
    def is_pooled(self) -> bool:
        """Tell whether two transactions may be done by two sessions of the server."""
        return bool(self.carried)


class StatementCursor(psycopg.AsyncCursor[Row]):
    """Runs one statement with its connection's settings.

    Behind a pooler that is a transaction of its own, sent in one round trip.
    """

    @override
    async def execute(
        self,
        query: Query,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        """Run the statement; its rows are then at hand."""
        async with _carrying_settings(self.connection):
            await super().execute(query, params, prepare=prepare, binary=binary)  # type: ignore[arg-type,misc]  # psycopg's own union
        return self


@asynccontextmanager
async def _carrying_settings(conn: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    if not isinstance(conn, WorkerConnection) or not conn.is_pooled:
        yield
        return
    if conn.info.transaction_status is not TransactionStatus.IDLE:
        async with conn.pipeline():
            await conn.execute(statement("transaction_settings"), named(conn.carried))
            yield
        return
    # psycopg's own transaction block would wait for three answers.
    try:
        async with conn.pipeline():
            await conn.execute("BEGIN")
            await conn.execute(statement("transaction_settings"), named(conn.carried))
            yield
            await conn.execute("COMMIT")
    except psycopg.Error:
        if not conn.closed:
            await conn.rollback()
        raise


def named(settings: Mapping[str, str]) -> dict[str, object]:
    """Lay settings out as parallel arrays."""
    return {"names": list(settings), "values": list(settings.values())}
