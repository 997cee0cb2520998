"""The demo's one task: it takes as long as a language model would take for its answer."""

import asyncio
import os
from functools import cache

import psycopg

from queueworker import App, Context

SECONDS_PER_TOKEN = float(os.environ.get("SECONDS_PER_TOKEN", "0.02"))
INSERT = "INSERT INTO ledger (job_id, attempt, token, worker) VALUES (%s, %s, %s, %s)"

app = App()


@app.task(queue="inference", timeout_s=60)
async def generate(ctx: Context, generated_tokens: int) -> None:
    """Write a row for this start into the ledger, then wait for the tokens."""
    worker = os.environ.get("QUEUEWORKER_POD_NAME", "")
    connection = await ledger()
    await connection.execute(INSERT, (ctx.job_id, ctx.attempt, ctx.token, worker))
    await asyncio.sleep(generated_tokens * SECONDS_PER_TOKEN)


@cache
def ledger() -> asyncio.Task[psycopg.AsyncConnection]:
    """Open one connection for all jobs of this process."""
    dsn = os.environ["QUEUEWORKER_DSN"]
    return asyncio.ensure_future(psycopg.AsyncConnection.connect(dsn, autocommit=True))
