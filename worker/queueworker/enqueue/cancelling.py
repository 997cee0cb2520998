"""Cancel a job on the producer's connection."""

from typing import Any

import psycopg
from psycopg.rows import tuple_row

from queueworker.statements import statement
from queueworker.translation import translated


async def cancel(conn: psycopg.AsyncConnection[Any], job_id: int) -> str | None:
    """Cancel a job on `conn`, inside its transaction if one is open; give what it was."""
    with translated():
        async with psycopg.AsyncCursor(conn, row_factory=tuple_row) as cursor:
            await cursor.execute(statement("job_cancel"), {"job_id": job_id})
            row = await cursor.fetchone()
    return None if row is None else row[0]


def cancel_sync(conn: psycopg.Connection[Any], job_id: int) -> str | None:
    """Cancel a job on a synchronous connection."""
    with translated(), psycopg.Cursor(conn, row_factory=tuple_row) as cursor:
        cursor.execute(statement("job_cancel"), {"job_id": job_id})
        row = cursor.fetchone()
    return None if row is None else row[0]
