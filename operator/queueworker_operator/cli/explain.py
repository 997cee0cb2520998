"""`queueworker-operator explain`: the recorded decisions of a QueueWorker, and why."""

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from queueworker_operator.cli.dsn import add_dsn, dsn_of
from queueworker_operator.controller.record import replay
from queueworker_operator.decision.codec import InvalidRecord
from queueworker_operator.errors import InvalidSettings
from queueworker_operator.lag.postgres import PostgresLag, RecordedDecision

MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One decision as it is shown; `again` is what the replay gave, None without one."""

    time: str
    before: int
    after: int
    reason: str
    message: str
    again: str | None = None


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describe the command and its flags."""
    parser = commands.add_parser(
        "explain",
        help="show why a QueueWorker has the replicas it has",
        description="Show the recorded decisions of a QueueWorker, newest last.",
    )
    parser.add_argument("name", metavar="NAMESPACE/NAME")
    add_dsn(parser)
    parser.add_argument("--most", type=int, default=20, metavar="N", help="decisions to show (20)")
    parser.add_argument("--json", action="store_true", help="print the records as JSON lines")
    parser.add_argument("--replay", action="store_true", help="decide again and compare")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the decisions; 1 when there are none, or when a replay differs."""
    if arguments.name.count("/") != 1:
        raise InvalidSettings(f"{arguments.name!r} is no NAMESPACE/NAME: write default/mail")
    dsn = dsn_of(arguments)
    most = max(1, min(arguments.most, MOST))
    recorded = asyncio.run(read(dsn, arguments.name, most))
    if not recorded:
        raise InvalidSettings(f"no decision of {arguments.name} is recorded in this database")
    lines = [line_of(entry, again=arguments.replay) for entry in recorded]
    if arguments.json:
        for entry, line in zip(recorded, lines, strict=True):
            print(json.dumps({"time": line.time, "replay": line.again, **entry.record}))
    else:
        show(lines)
    return int(any(line.again not in (None, "same") for line in lines))


async def read(dsn: str, name: str, most: int) -> list[RecordedDecision]:
    """Read the last decisions, oldest first."""
    source = PostgresLag(dsn)
    try:
        return (await source.decisions(name, most))[::-1]
    finally:
        await source.close()


def line_of(entry: RecordedDecision, *, again: bool) -> Line:
    """Give one decision as a line."""
    decision: Mapping[str, Any] = entry.record.get("decision") or {}
    return Line(
        time=datetime.fromtimestamp(entry.at_s, UTC).isoformat(timespec="seconds"),
        before=int(decision.get("current", 0)),
        after=int(decision.get("desired", 0)),
        reason=str(decision.get("reason", "")),
        message=str(decision.get("message", "")),
        again=compare(entry.record) if again else None,
    )


def compare(record: Mapping[str, Any]) -> str:
    """Decide again from the record: `same`, or what came out instead."""
    try:
        decision = replay(record)
    except (InvalidRecord, KeyError, TypeError) as exc:
        return f"cannot be replayed: {exc}"
    recorded = record["decision"]
    told = (recorded["desired"], recorded["reason"])
    now = (decision.desired, decision.reason.value)
    return "same" if now == told else f"now {decision.desired} ({decision.reason.value})"


def show(lines: Sequence[Line]) -> None:
    """Print a table; wide enough for a message also where there is no terminal."""
    table = Table(box=None, pad_edge=False)
    for heading in ("TIME", "REPLICAS", "REASON", "MESSAGE"):
        table.add_column(heading, overflow="fold")
    replayed = any(line.again is not None for line in lines)
    if replayed:
        table.add_column("REPLAY")
    for line in lines:
        cells = [line.time, f"{line.before}->{line.after}", line.reason, line.message]
        table.add_row(*cells, *([line.again or ""] if replayed else []))
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, width=200)
    console.print(table)
