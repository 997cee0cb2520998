"""The worker behind a fake pod: a real one, in a process of its own that was forked cheaply.

What it does is told twice: in a byte a pod of shared memory (how many jobs run now), and in
a file with a line for each start and end.
"""

import asyncio
import logging
import mmap
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from queueworker.app import App
from queueworker.context import Context
from queueworker.dsn import Dsn
from queueworker.settings import QueueShare, Settings
from queueworker.worker import Worker

SEATS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where a worker sits: its pod, its queue, and the files of the pool."""

    number: int
    pod: str
    namespace: str
    queue: str
    slots: int
    grace_s: float
    dsn: str
    folder: Path


def serve(seat: Seat) -> None:
    """Work like `queueworker worker` until SIGTERM and through the drain."""
    log = os.open(seat.folder / "workers.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    logging.basicConfig(level=logging.WARNING, format=f"{seat.pod} %(message)s")
    settings = Settings(
        dsn=Dsn.parse(seat.dsn),
        queues=(QueueShare(name=seat.queue),),
        concurrency=seat.slots,
        port=0,
        grace_s=seat.grace_s,
        pod=seat.pod,
        namespace=seat.namespace,
    )

    async def work() -> bool:
        return await Worker(make_app(seat), settings).run()

    sys.exit(0 if asyncio.run(work()) else 1)


def make_app(seat: Seat) -> App:
    """Give the application: one task, which takes as long as its job says."""
    app = App()
    ledger = os.open(seat.folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    running = shared(seat.folder)

    @app.task(queue=seat.queue, name="work")
    async def work(ctx: Context, seconds: float, again: float = 0.0) -> None:
        running[seat.number] += 1
        _tell(ledger, "start", seat, ctx)
        try:
            await asyncio.sleep(again if again and ctx.attempt > 1 else seconds)
            _tell(ledger, "end", seat, ctx)
        except asyncio.CancelledError:
            _tell(ledger, "stopped", seat, ctx)
            raise
        finally:
            running[seat.number] -= 1

    return app


def shared(folder: Path) -> mmap.mmap:
    """Open the memory in which each seat counts its running jobs."""
    path = folder / "running"
    if not path.exists():
        path.write_bytes(bytes(SEATS))
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), SEATS)


def _tell(ledger: int, what: str, seat: Seat, ctx: Context) -> None:
    line = f"{time.time():.6f} {what} {seat.queue} {seat.pod} {ctx.job_id} {ctx.attempt}\n"
    os.write(ledger, line.encode())
