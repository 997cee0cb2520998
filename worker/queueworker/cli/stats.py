"""`queueworker stats`."""

import argparse
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict

from queueworker.cli.command import Commands, add_command, ask, table, to_json
from queueworker.store import LagRow, Store

COLUMNS = (
    "QUEUE",
    "READY",
    "OLDEST",
    "RUNNING",
    "SCHEDULED",
    "DEAD",
    "SUCCEEDED",
    "FAILED",
    "WORKERS",
    "SLOTS",
    "STATE",
)
CLEAR_SCREEN = "\033[2J\033[H"
EVERY_S = 1.0


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "stats",
        "show backlog, lag and workers of each queue",
        "queueworker stats --watch",
    )
    parser.add_argument("--queue", action="append", metavar="NAME", help="only this one")
    parser.add_argument("--json", action="store_true", help="every column, for programs")
    parser.add_argument("--watch", action="store_true", help="again each second until Ctrl-C")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the queues' lag once, or until interrupted."""
    if arguments.watch:
        # asyncio's own handler cancels the query; a query that ends just then would go on watching.
        signal.signal(signal.SIGINT, _interrupt)
    while True:
        rows = ask(lambda store: _read(store, arguments.queue))
        shown = to_json([asdict(row) for row in rows]) if arguments.json else _table(rows)
        print(f"{CLEAR_SCREEN}{shown}" if arguments.watch and not arguments.json else shown)
        if not arguments.watch:
            return 0
        time.sleep(EVERY_S)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


async def _read(store: Store, queues: Sequence[str] | None) -> list[LagRow]:
    names = queues or [queue.name for queue in await store.queue_list()]
    return sorted(await store.lag(names), key=lambda row: row.queue)


def _table(rows: Sequence[LagRow]) -> str:
    if not rows:
        return "no queues yet"
    lines = [
        (
            row.queue,
            row.ready,
            row.oldest_ready_age_s or 0.0,
            row.running,
            row.scheduled,
            row.dead,
            row.succeeded_total,
            row.failed_total,
            row.workers,
            row.slots,
            "paused" if row.paused else "",
        )
        for row in rows
    ]
    return table([COLUMNS, *lines])
