"""`queueworker stats`."""

import argparse
import json
import math
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict

from queueworker.cli.command import Commands, add_command, ask, to_json
from queueworker.cli.flow import Flow, flow
from queueworker.cli.names import require
from queueworker.cli.screen import Screen
from queueworker.cli.stats_table import Pair, lines
from queueworker.errors import DatabaseUnavailable
from queueworker.store import LagRow, Store

EVERY_S = 1.0
WINDOW = 10

Reading = dict[str, LagRow]


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "stats",
        "show backlog, rates, waits and workers of each queue (takes a second to measure)",
        "queueworker stats --watch",
    )
    parser.add_argument("--queue", action="append", metavar="NAME", help="only this one")
    parser.add_argument("--json", action="store_true", help="every column, for programs")
    parser.add_argument(
        "--watch", action="store_true", help="draw it again each second until Ctrl-C"
    )
    parser.set_defaults(run=run, role="queueworker_reader")


def run(arguments: argparse.Namespace) -> int:
    """Show the queues once, or until interrupted."""
    # asyncio's own handler cancels the query; a query that ends just then would go on.
    signal.signal(signal.SIGINT, _interrupt)
    if arguments.watch:
        return _watch(arguments)
    readings = [_read(arguments.queue)]
    if readings[0]:
        time.sleep(EVERY_S)
        readings.append(_read(arguments.queue))
    pairs = _pairs(readings)
    if arguments.json:
        print(to_json([_fields(pair) for pair in pairs]))
    else:
        print("\n".join(lines(pairs, None, None)))
    return 0


def _watch(arguments: argparse.Namespace) -> int:
    """Rates are of the last ten seconds. A database that goes away is waited for."""
    readings: deque[Reading] = deque(maxlen=WINDOW + 1)
    pairs: list[Pair] = []
    with Screen() as screen:
        while True:
            began_s = time.monotonic()
            trouble = ""
            try:
                readings.append(_read(arguments.queue))
                pairs = _pairs(readings)
            except DatabaseUnavailable as exc:
                if not readings:
                    raise
                trouble = " ".join(f"{exc}; trying again".split())
            if arguments.json:
                print(json.dumps([_fields(pair) for pair in pairs], default=str), flush=True)
            else:
                width, height = screen.size
                room = None if height is None or not trouble else height - 1
                shown = lines(pairs, width, room or height)
                screen.draw([*shown, trouble[:width]] if trouble else shown)
            time.sleep(max(0.0, EVERY_S - (time.monotonic() - began_s)))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _read(queues: Sequence[str] | None) -> Reading:
    rows = ask(lambda store: _lag(store, queues))
    return {row.queue: row for row in sorted(rows, key=lambda row: row.queue)}


async def _lag(store: Store, queues: Sequence[str] | None) -> list[LagRow]:
    if queues:
        await require(store, *queues)
    return await store.lag(queues or await store.queue_names())


def _pairs(readings: Sequence[Reading]) -> list[Pair]:
    """Join each queue of the last reading with its flow since the first that has it."""
    pairs = []
    for name, row in readings[-1].items():
        earlier = next(reading[name] for reading in readings if name in reading)
        pairs.append((row, flow(earlier, row)))
    return pairs


def _fields(pair: Pair) -> dict[str, object]:
    row, moved = pair
    return {**asdict(row), **_finite(moved)}


def _finite(moved: Flow) -> dict[str, object]:
    # JSON has no infinity: "never" is said in words, unknown is null.
    return {name: "never" if value == math.inf else value for name, value in asdict(moved).items()}
