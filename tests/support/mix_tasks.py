"""Tasks for a random mix of faults: what succeeds has one effect, in the completing transaction."""

import asyncio
import ctypes
import os
import time

import psycopg

from queueworker import App, Context

app = App()
APP = "tests.support.mix_tasks:app"
EFFECT = "INSERT INTO effect (job_id, token) VALUES (%s, %s)"


async def complete(ctx: Context, seconds: float) -> None:
    dsn = os.environ["QUEUEWORKER_DSN"]
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        await conn.execute(EFFECT, (ctx.job_id, ctx.token))
        await asyncio.sleep(seconds)
        await ctx.complete(conn)


@app.task(queue="mix", max_attempts=50)
async def steady(ctx: Context, seconds: float) -> None:
    await complete(ctx, seconds)


@app.task(queue="mix", max_attempts=50)
async def flaky(ctx: Context) -> None:
    if ctx.attempt % 2:
        raise LookupError("every other time")
    await complete(ctx, 0.01)


@app.task(queue="mix", max_attempts=2)
async def broken() -> None:
    raise SystemExit(3)


@app.task(queue="mix", max_attempts=50)
async def block(ctx: Context, seconds: float) -> None:
    """Block the event loop, then complete."""
    time.sleep(seconds)  # noqa: ASYNC251 - the fault in question
    await complete(ctx, 0.0)


@app.task(queue="mix", max_attempts=50)
async def hold(ctx: Context, seconds: float) -> None:
    """Keep Python's lock at the first run, then complete."""
    if ctx.attempt == 1:
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    await complete(ctx, 0.0)


@app.task(queue="mix")
async def crash() -> None:
    ctypes.string_at(0)


@app.task(queue="mix", executor="process")
def crash_child() -> None:
    ctypes.string_at(0)


@app.task(queue="mix", max_attempts=1)
async def fork() -> None:
    """Fail in both processes."""
    os.fork()
    raise LookupError("in both")
