"""One connection and its prepared statements."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row, tuple_row

from queueworker.pooler import StatementCursor
from queueworker.statements import Query
from queueworker.translation import translated

Row = TypeVar("Row")
TupleRow = TypeVar("TupleRow", bound=tuple[Any, ...])
Parameters = Mapping[str, object]


def bigints(numbers: Sequence[int]) -> str:
    """Write a bigint array as text: psycopg's own way takes ten times as long."""
    return "{" + ",".join(map(str, numbers)) + "}"


class Session:
    """Runs prepared statements with binary results; raises this package's errors."""

    def __init__(self, conn: psycopg.AsyncConnection[Any]) -> None:
        self._conn = conn

    @property
    def server_encoding(self) -> str | None:
        """Give the encoding of the database, where the server tells it."""
        return self._conn.info.parameter_status("server_encoding")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Commit what is done inside as one."""
        with translated():
            async with self._conn.transaction():
                yield

    async def rows_of(self, kind: type[Row], query: Query, parameters: Parameters) -> list[Row]:
        """Fetch rows as frozen dataclasses: columns are fields."""
        with translated():
            # The caller's connection may make cursors without named parameters.
            async with StatementCursor(self._conn, row_factory=class_row(kind)) as cursor:
                await cursor.execute(query, parameters, prepare=True, binary=True)
                return await cursor.fetchall()

    async def tuples_of(
        self, kind: type[TupleRow], query: Query, parameters: Parameters
    ) -> list[TupleRow]:
        """Fetch rows as named tuples, whose fields are the columns in their order."""
        with translated():
            async with StatementCursor(self._conn, row_factory=tuple_row) as cursor:
                await cursor.execute(query, parameters, prepare=True, binary=True)
                rows = await cursor.fetchall()
        new = tuple.__new__
        return [new(kind, row) for row in rows]

    async def fetch(self, query: Query, parameters: Parameters) -> list[tuple[Any, ...]]:
        """Fetch plain rows."""
        with translated():
            async with StatementCursor(self._conn, row_factory=tuple_row) as cursor:
                await cursor.execute(query, parameters, prepare=True, binary=True)
                return await cursor.fetchall() if cursor.description else []

    async def fetch_value(self, query: Query, parameters: Parameters) -> Any:  # the column decides
        """Fetch the first column of the only row, None without a row."""
        rows = await self.fetch(query, parameters)
        return rows[0][0] if rows else None
