"""Tasks that misbehave, beside those of the ledger."""

import asyncio
import ctypes
import fcntl
import mmap
import os
import signal
import subprocess
import sys
import time

import psycopg
from tests.support.ledger_tasks import RECORD, app, record

from queueworker import Context, Discard, RetryAfter
from queueworker.compat import override

APP = "tests.support.fault_tasks:app"
LATIN = "na\u00efve \u65e5\u672c \U0001f9e8"


class Unprintable(Exception):
    @override
    def __str__(self) -> str:
        raise SystemExit(4)


class UnprintableRetry(RetryAfter):
    @override
    def __str__(self) -> str:
        raise KeyboardInterrupt


def endless() -> None:
    endless()


def raise_memory_error() -> None:
    bytearray(sys.maxsize)


EXCEPTIONS = {
    "BaseException": BaseException("base"),
    "KeyboardInterrupt": KeyboardInterrupt("interrupt"),
    "SystemExit": SystemExit(3),
    "GeneratorExit": GeneratorExit("generator"),
    "CancelledError": asyncio.CancelledError("cancelled"),
    "StopIteration": StopIteration("stop"),
    "StopAsyncIteration": StopAsyncIteration("stop"),
    "TimeoutError": TimeoutError("not the job's own timeout"),
    "ExceptionGroup": BaseExceptionGroup("many", [SystemExit(1), ValueError("inner")]),
    "Unprintable": Unprintable("never seen"),
    "UnprintableRetry": UnprintableRetry(0.05),
    "NonAscii": ValueError(LATIN),
    "Nul": ValueError("a\0b"),
    "Surrogate": ValueError("half \ud800 of one"),
    "Discard": Discard("\ud800"),
}


def throw(kind: str) -> None:
    match kind:
        case "RecursionError":
            endless()
        case "MemoryError":
            raise_memory_error()
        case "Huge":
            raise ValueError("x" * (64 << 20))
        case _:
            raise EXCEPTIONS[kind]


@app.task(queue="mail", max_attempts=1)
async def throw_async(kind: str) -> None:
    await asyncio.sleep(0)
    throw(kind)


@app.task(queue="mail", max_attempts=1)
def throw_thread(kind: str) -> None:
    throw(kind)


@app.task(queue="mail", max_attempts=1, executor="process")
def throw_process(kind: str) -> None:
    throw(kind)


@app.task(queue="mail")
async def hold_gil(ctx: Context, seconds: float) -> None:
    """Keep Python's lock, as an extension in C may."""
    record(ctx, "start")
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    record(ctx, "end")


@app.task(queue="mail")
async def hold_gil_once(ctx: Context, path: str) -> None:
    """Keep Python's lock in the first run alone, until a file's lock is given up."""
    record(ctx, "start")
    if ctx.attempt == 1:
        with open(path, encoding="utf-8") as file:  # noqa: ASYNC230, PTH123 - to block is the point
            ctypes.PyDLL(None).flock(file.fileno(), fcntl.LOCK_EX)
    record(ctx, "end")


@app.task(queue="mail")
async def crash(ctx: Context) -> None:
    """Read from address 0."""
    record(ctx, "start")
    await asyncio.sleep(0.1)
    ctypes.string_at(0)


@app.task(queue="mail")
async def crash_at_once() -> None:
    """Crash before anything else of this worker goes on."""
    ctypes.string_at(0)


@app.task(queue="mail")
def crash_thread(ctx: Context) -> None:
    record(ctx, "start")
    ctypes.string_at(0)


@app.task(queue="mail", executor="process")
def crash_process(ctx: Context) -> None:
    record(ctx, "start")
    ctypes.string_at(0)


DAEMON = """
import subprocess as s
print(s.Popen(["sleep", "60"], start_new_session=True, stdout=s.DEVNULL, stderr=s.DEVNULL).pid)
"""


def eat() -> None:
    """Take memory until there is none, and touch it."""
    pieces = []
    while True:
        piece = mmap.mmap(-1, 16 << 20)
        piece.write(b"x" * (16 << 20))
        pieces.append(piece)


@app.task(queue="mail", max_attempts=1)
async def eat_memory(ctx: Context) -> None:
    record(ctx, "start")
    try:
        eat()
    except OSError as exc:
        raise MemoryError from exc


@app.task(queue="mail", executor="process")
def grow(ctx: Context, megabytes: int) -> None:
    """Keep memory after the end, as a leak does."""
    globals().setdefault("LEAK", []).append(b"x" * (megabytes << 20))
    record(ctx, "grown")


@app.task(queue="mail", executor="process")
def leave_daemon(ctx: Context, seconds: float) -> None:
    """Start a process that leaves the session and its parent, then sleep."""
    command = [sys.executable, "-c", DAEMON]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
    record(ctx, f"start {done.stdout.strip()}")
    time.sleep(seconds)
    record(ctx, "end")


@app.task(queue="mail", executor="process")
def spin_process(ctx: Context, seconds: float) -> None:
    """Start a process of its own and keep Python's lock beside it."""
    child = subprocess.Popen(["sleep", str(seconds)])
    record(ctx, f"start {child.pid}")
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    record(ctx, "end")


def fork(ctx: Context) -> None:
    """Return in both processes; note the copy's pid in the original."""
    copy = os.fork()
    if copy:
        record(ctx, f"start {copy}")
        os.waitpid(copy, 0)
        record(ctx, "end")


@app.task(queue="mail")
async def fork_async(ctx: Context) -> None:
    fork(ctx)


@app.task(queue="mail", max_attempts=1)
async def fork_and_fail(ctx: Context) -> None:
    fork(ctx)
    raise LookupError("in both")


@app.task(queue="mail")
def fork_thread(ctx: Context) -> None:
    fork(ctx)


@app.task(queue="mail", executor="process")
def fork_process(ctx: Context) -> None:
    fork(ctx)


@app.task(queue="mail")
async def slow_effect(ctx: Context, seconds: float) -> None:
    """Write an effect, wait, then complete the job in the same transaction."""
    record(ctx, "start")
    dsn = os.environ["QUEUEWORKER_DSN"]
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        row = (ctx.job_id, ctx.attempt, ctx.token, str(os.getpid()), "effect")
        await conn.execute(RECORD, row)
        await asyncio.sleep(seconds)
        await ctx.complete(conn)


@app.task(queue="mail")
async def stand_still(ctx: Context) -> None:
    """Stop the whole process; whoever sends SIGCONT lets it go on."""
    record(ctx, "start")
    os.kill(os.getpid(), signal.SIGSTOP)
    record(ctx, "end")
