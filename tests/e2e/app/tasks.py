"""Tasks that take time and write into a ledger what ran, where and under which token."""

import asyncio
import logging
import os

import psycopg

from queueworker import App, Context

logger = logging.getLogger(__name__)
app = App()

RECORD = """
    INSERT INTO ledger (job_id, attempt, token, worker, note)
    VALUES (%(job_id)s, %(attempt)s, %(token)s, %(worker)s, %(note)s)
"""


class Ledger:
    """One connection a process; a row is tried again until it is in."""

    def __init__(self) -> None:
        self._conn: psycopg.AsyncConnection | None = None
        self._turn = asyncio.Lock()

    async def write(self, ctx: Context, note: str) -> None:
        row = {
            "job_id": ctx.job_id,
            "attempt": ctx.attempt,
            "token": ctx.token,
            "worker": os.environ.get("QUEUEWORKER_POD_NAME", "local"),
            "note": note,
        }
        while True:
            async with self._turn:
                if await self._is_in(row):
                    return
            await asyncio.sleep(0.5)

    async def _is_in(self, row: dict[str, object]) -> bool:
        try:
            if self._conn is None:
                dsn = os.environ["QUEUEWORKER_DSN"]
                self._conn = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
            await self._conn.execute(RECORD, row)
        except psycopg.OperationalError:
            logger.warning("the ledger cannot be reached; trying again")
            self._conn = None
        return self._conn is not None


ledger = Ledger()


@app.task(max_attempts=5)
async def work(ctx: Context, seconds: float) -> None:
    """Take `seconds`, with a row in the ledger before and after."""
    await ledger.write(ctx, "started")
    await asyncio.sleep(seconds)
    await ledger.write(ctx, "finished")
