"""Tasks that write into a ledger what ran, in which process and under which token."""

import asyncio
import os
import signal
import subprocess
import time
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import psycopg

from queueworker import App, Context, Discard, RetryAfter

app = App()

TABLE = """
    CREATE TABLE IF NOT EXISTS ledger (
      job_id bigint,
      attempt int,
      token bigint,
      worker text,
      started_at timestamptz DEFAULT clock_timestamp(),
      note text
    )
"""
RECORD = "INSERT INTO ledger (job_id, attempt, token, worker, note) VALUES (%s, %s, %s, %s, %s)"


def record(ctx: Context, note: str) -> None:
    row = (ctx.job_id, ctx.attempt, ctx.token, str(os.getpid()), note)
    with psycopg.connect(os.environ["QUEUEWORKER_DSN"], autocommit=True) as conn:
        conn.execute(RECORD, row)


@app.task(queue="mail")
async def quick(ctx: Context, number: int = 0) -> None:
    record(ctx, f"quick {number}")


@app.task(queue="mail")
async def noop() -> None:
    """Cost nothing."""


@app.task(queue="mail")
async def pause(seconds: float) -> None:
    """Take a while and note nothing."""
    await asyncio.sleep(seconds)


@app.task(queue="mail")
async def nap(ctx: Context, seconds: float) -> None:
    record(ctx, "start")
    await asyncio.sleep(seconds)
    record(ctx, "end")


@app.task(queue="mail")
async def sleeper(seconds: float) -> None:
    """Take time and touch no database."""
    await asyncio.sleep(seconds)


@app.task(queue="mail", timeout_s=0.5)
async def limited_nap(ctx: Context, seconds: float) -> None:
    record(ctx, "start")
    await asyncio.sleep(seconds)


@app.task(queue="mail")
async def stubborn(ctx: Context, seconds: float) -> None:
    """Go on in spite of every cancellation."""
    record(ctx, "start")
    ends_s = time.monotonic() + seconds
    while (left_s := ends_s - time.monotonic()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(left_s)
    record(ctx, "end")


@app.task(queue="mail")
async def spin(ctx: Context, seconds: float) -> None:
    """Keep the event loop busy."""
    record(ctx, "start")
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        pass
    record(ctx, "end")


@app.task(queue="mail")
def thread_nap(ctx: Context, seconds: float) -> None:
    record(ctx, "start")
    time.sleep(seconds)
    record(ctx, "end")


@app.task(queue="mail")
def yielding(ctx: Context, seconds: float) -> None:
    """Work in a thread until told to stop."""
    record(ctx, "start")
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s and not ctx.should_yield:
        time.sleep(0.01)
    record(ctx, "yielded" if ctx.should_yield else "end")


@app.task(queue="mail", executor="process")
def process_nap(ctx: Context, seconds: float) -> None:
    """Start a process of its own and sleep beside it."""
    child = subprocess.Popen(["sleep", str(seconds)])
    record(ctx, f"start {child.pid}")
    child.wait()
    record(ctx, "end")


@app.task(queue="mail", executor="process", max_attempts=1)
def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@app.task(queue="mail", executor="process", max_attempts=1)
def answer_itself(size_bytes: int) -> None:
    """Write into every socket, as code does that takes a descriptor for its own."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if entry.readlink().name.startswith("socket:"):
                os.write(int(entry.name), b"x" * size_bytes + b"\n")


@app.task(queue="mail")
async def kill_worker(ctx: Context) -> None:
    record(ctx, "start")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(queue="mail")
async def die_after(ctx: Context, seconds: float) -> None:
    """Take the worker down after a while."""
    record(ctx, "start")
    await asyncio.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(queue="mail", max_attempts=1)
async def fail(ctx: Context, text: str = "broken") -> None:
    record(ctx, "start")
    raise LookupError(text)


@app.task(queue="mail", max_attempts=2)
async def again(ctx: Context) -> None:
    record(ctx, "start")
    if ctx.attempt == 1:
        raise RetryAfter(0.05)


@app.task(queue="mail", max_attempts=1)
async def wrong_delay() -> None:
    raise RetryAfter(timedelta(seconds=1))  # type: ignore[arg-type]  # the mistake in question


@app.task(queue="mail")
async def give_up() -> None:
    raise Discard("no use")


@app.task(queue="mail", max_attempts=1)
async def leave() -> None:
    raise SystemExit(3)


@app.task(queue="mail")
async def effect(ctx: Context, note: str) -> None:
    """Write an effect in the transaction that completes the job."""
    dsn = os.environ["QUEUEWORKER_DSN"]
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        row = (ctx.job_id, ctx.attempt, ctx.token, "effect", note)
        await conn.execute(RECORD, row)
        await ctx.complete(conn)


@app.task(queue="mail", max_attempts=2)
async def roll_back(ctx: Context) -> None:
    """Complete the job, and roll that back without an error."""
    record(ctx, "start")
    dsn = os.environ["QUEUEWORKER_DSN"]
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        await ctx.complete(conn)
        if ctx.attempt == 1:
            await conn.rollback()


@app.task(queue="mail", max_attempts=2, backoff=lambda _failures, _unit: 0.05)
async def roll_back_always(ctx: Context) -> None:
    """Complete the job, and roll that back at each attempt."""
    record(ctx, "start")
    async with await psycopg.AsyncConnection.connect(os.environ["QUEUEWORKER_DSN"]) as conn:
        await ctx.complete(conn)
        await conn.rollback()


@app.task(queue="mail")
async def complete_and_fail(ctx: Context) -> None:
    """Complete the job, commit that, and fail."""
    async with await psycopg.AsyncConnection.connect(os.environ["QUEUEWORKER_DSN"]) as conn:
        await ctx.complete(conn)
    raise LookupError("after the commit")


@app.task(queue="mail", backoff=lambda _failures, _unit: 3)
async def fail_whole(ctx: Context) -> None:
    """Fail, with a backoff that gives an int."""
    record(ctx, "start")
    raise LookupError


@app.task(queue="mail", backoff=lambda _failures, _unit: Decimal(3))  # type: ignore[arg-type,return-value]  # the mistake in question
async def fail_decimal(ctx: Context) -> None:
    """Fail, with a backoff that gives a number of another type."""
    record(ctx, "start")
    raise LookupError


async def _unawaited() -> None:
    """Never run."""


@app.task(queue="mail", max_attempts=1)
def forget_async() -> object:
    return _unawaited()


@app.task(queue="mail", max_attempts=1)
async def forget_await() -> object:
    return _unawaited()


@app.task(queue="mail", max_attempts=1, executor="process")
def forget_async_in_child() -> object:
    return _unawaited()


@app.task(queue="mail", max_attempts=1)
def give_generator() -> object:
    return (number for number in range(3))


@app.task(queue="reports")
async def report(ctx: Context) -> None:
    record(ctx, "report")
    await asyncio.sleep(0.02)


OPEN: list[psycopg.AsyncConnection[object]] = []


@app.task(queue="mail", max_attempts=2)
async def leave_open(ctx: Context) -> None:
    """Complete the job, and leave the transaction open."""
    record(ctx, "start")
    if ctx.attempt == 1:
        conn = await psycopg.AsyncConnection.connect(os.environ["QUEUEWORKER_DSN"])
        await ctx.complete(conn)
        OPEN.append(conn)


@app.task(queue="mail", max_attempts=2)
async def break_off(ctx: Context) -> None:
    """Complete the job, leave the transaction open, and fail."""
    await leave_open.run(ctx)
    raise LookupError


@app.task(queue="mail")
async def end_open(commit: bool) -> None:
    """End the transactions that were left open."""
    while OPEN:
        conn = OPEN.pop()
        await (conn.commit() if commit else conn.rollback())
        await conn.close()
