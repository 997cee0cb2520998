"""`queueworker-operator record`: the arrivals of live queues as a trace for `simulate`."""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from queueworker_operator.cli.dsn import add_dsn, dsn_of
from queueworker_operator.errors import InvalidSettings, LagUnavailable
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.simulate.recording import HEADER, Lags, Recording, missing
from queueworker_operator.text import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to record: `seconds` None goes on until Ctrl-C."""

    queues: tuple[str, ...]
    out: Path
    every_s: float
    seconds: float | None


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describe the command and its flags."""
    parser = commands.add_parser(
        "record",
        help="write the arrivals of live queues as a trace that simulate replays",
        description="Reads the counters of queues each few seconds, and writes how many jobs came. "
        "Ctrl-C ends it and shows how to replay the trace. Nothing in the database is changed.",
    )
    parser.add_argument(
        "--queue", action="append", required=True, metavar="NAME", help="may be given again"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="the trace")
    add_dsn(parser)
    parser.add_argument("--every", type=float, default=5.0, metavar="S", help="seconds a row (5)")
    parser.add_argument("--hours", type=float, metavar="H", help="end after H hours")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Record until the time is over or Ctrl-C."""
    dsn = dsn_of(arguments)
    if not arguments.every > 0:
        raise InvalidSettings(f"--every is {arguments.every:g}: give a number above 0")
    if arguments.hours is not None and not arguments.hours > 0:
        raise InvalidSettings(f"--hours is {arguments.hours:g}: give a number above 0")
    options = Options(
        queues=tuple(dict.fromkeys(arguments.queue)),
        out=arguments.out,
        every_s=arguments.every,
        seconds=None if arguments.hours is None else 3600 * arguments.hours,
    )
    try:
        if options.out.is_file() and options.out.stat().st_size > 0:
            raise InvalidSettings(f"{options.out} exists: give another name, or remove it first")
        file = options.out.open("w")
    except OSError as exc:
        raise InvalidSettings(f"{options.out} cannot be written: {exc.strerror}") from exc
    with file, suppress(KeyboardInterrupt):
        asyncio.run(record(dsn, options, file))
    return 0


async def record(dsn: str, options: Options, file: TextIO) -> None:
    """Write a row a reading. An outage makes one long row: nothing is lost, only when it came."""
    source = PostgresLag(dsn)
    try:
        lags = await source.read(options.queues)
        if unknown := missing(lags, options.queues):
            raise InvalidSettings(f"the database has no queue {unknown[0]}: check its name")
        print(HEADER, file=file)
        recording = Recording(first=lags, last=lags)
        try:
            async for later in readings(source, options):
                recording, rows = recording.add(later)
                print("\n".join(rows), file=file, flush=True)
        finally:
            print(f"{recording.lasts_s:.3f},0,0", file=file)
            print(ending(recording, options))
    finally:
        await source.close()


async def readings(source: PostgresLag, options: Options) -> AsyncIterator[Lags]:
    """Give a reading each few seconds; while the database is away there is none."""
    began_s = time.monotonic()
    while options.seconds is None or time.monotonic() - began_s < options.seconds:
        await asyncio.sleep(options.every_s)
        try:
            yield await source.read(options.queues)
        except LagUnavailable:
            continue


def ending(recording: Recording, options: Options) -> str:
    """Say what was recorded, and how to replay it."""
    service = recording.service()
    flags = f" --service-s {service.mean_s:.3g} --service-cv {service.cv:.2g}" if service else ""
    return (
        f"{counted(recording.jobs, 'job')} in {recording.lasts_s / 3600:.2f} hours. Replay them:\n"
        f"queueworker-operator simulate --trace {options.out} --manifest QUEUEWORKER.yaml{flags}"
    )
