"""`queueworker-operator explain`: the recorded decisions of a QueueWorker, and why."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from queueworker_operator.cli.dsn import dsn_of
from queueworker_operator.cli.key import add_key, key_of
from queueworker_operator.cli.output import add_output, print_document
from queueworker_operator.cli.screen import console, text_width
from queueworker_operator.cli.worked import WIDTH, document_of, text_of, wrapped
from queueworker_operator.controller.record import difference
from queueworker_operator.decision.codec import InvalidRecord
from queueworker_operator.errors import InvalidSettings
from queueworker_operator.lag.postgres import PostgresLag, RecordedDecision
from queueworker_operator.text import counted

PURPOSE = "show why a QueueWorker has the replicas it has"
MOST = 300
LAST = "last"
SAME = "same"
LONG = 200
IN_ONE_LINE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One decision as it is shown; `again` is what the replay gave, None without one."""

    id: int
    time: str
    before: int
    after: int
    asked: int | None
    reason: str
    message: str
    again: str | None = None


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describe the command and its flags."""
    parser = commands.add_parser(
        "explain",
        help=PURPOSE,
        description="Show the recorded decisions of a QueueWorker, newest last; "
        "with --decision one of them, worked out by hand.",
    )
    add_key(parser)
    add_flags(parser)
    parser.set_defaults(run=run)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Describe what to show, and how."""
    parser.add_argument("--most", type=int, default=20, metavar="N", help="decisions to show (20)")
    parser.add_argument(
        "--decision", metavar="ID", help=f"work one of them out by hand: its ID, or {LAST}"
    )
    parser.add_argument(
        "--replay", action="store_true", help="decide again and compare; exit 1 where one differs"
    )
    parser.add_argument("--all", action="store_true", help="the whole history (300 at most)")
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the decisions; 1 when there are none, or when a replay differs."""
    key = key_of(arguments)
    return tell(arguments, dsn_of(arguments), key)


def tell(arguments: argparse.Namespace, dsn: str, key: str) -> int:
    """Print the decisions of `key` ("namespace/name") that `dsn` holds."""
    one, whole = arguments.decision, arguments.all or arguments.decision is not None
    most = MOST if whole else max(1, min(arguments.most, MOST))
    recorded = asyncio.run(read(dsn, key, most))
    if not recorded:
        raise InvalidSettings(
            f"no decision of {key} is recorded in this database: check the name, the namespace "
            "and the database"
        )
    chosen = recorded if one is None else [chosen_of(recorded, one)]
    lines = [line_of(entry, again=arguments.replay) for entry in chosen]
    if arguments.output != "table":
        print_document(documents(chosen, lines, worked=one is not None), arguments.output)
    elif one is None:
        show(lines, replayed=arguments.replay)
    else:
        show_one(key, chosen[0], lines[0])
    return int(any(line.again not in (None, SAME) for line in lines))


async def read(dsn: str, name: str, most: int) -> list[RecordedDecision]:
    """Read the last decisions, oldest first."""
    source = PostgresLag(dsn)
    try:
        return (await source.decisions(name, most))[::-1]
    finally:
        await source.close()


def chosen_of(recorded: Sequence[RecordedDecision], wanted: str) -> RecordedDecision:
    """Find the decision of the flag."""
    if wanted == LAST:
        return recorded[-1]
    found = [entry for entry in recorded if str(entry.id) == wanted]
    if not found:
        known = f"{recorded[0].id} to {recorded[-1].id}"
        raise InvalidSettings(
            f"no decision {wanted} is kept: say {LAST}, or an ID of the table ({known})"
        )
    return found[0]


def line_of(entry: RecordedDecision, *, again: bool) -> Line:
    """Give one decision as a line."""
    decision = entry.record.get("decision") or {}
    return Line(
        id=entry.id,
        time=datetime.fromtimestamp(entry.at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        before=int(decision.get("current", 0)),
        after=int(decision.get("desired", 0)),
        asked=entry.record.get("asked"),
        reason=str(decision.get("reason", "")),
        message=str(decision.get("message", "")),
        again=compare(entry) if again else None,
    )


def compare(entry: RecordedDecision) -> str:
    """Decide again from the record: `same`, or what came out instead."""
    try:
        told = difference(entry.record)
    except InvalidRecord as exc:
        return f"cannot be replayed: {exc}"
    return SAME if told is None else f"different: {told}"


def documents(
    chosen: Sequence[RecordedDecision], lines: Sequence[Line], *, worked: bool
) -> list[dict[str, Any]]:
    """Give all there is, for programs."""
    return [
        {
            "id": line.id,
            "time": line.time,
            "replay": line.again,
            **({"working": document_of(entry.record)} if worked else {}),
            **entry.record,
        }
        for entry, line in zip(chosen, lines, strict=True)
    ]


def show(lines: Sequence[Line], *, replayed: bool) -> None:
    """Print a table; wide enough for a message also where there is no terminal."""
    headings = ["ID", "TIME", "REPLICAS", "REASON", "MESSAGE", *(["REPLAY"] if replayed else [])]
    rows = [cells_of(line, replayed=replayed) for line in lines]
    screen = console()
    if not screen.is_terminal:
        screen = Console(markup=False, highlight=False, width=LONG)
    if screen.width < WIDTH:
        show_folded([headings, *rows], screen)
    else:
        screen.print(table_of(headings, rows))
    if replayed:
        same = sum(line.again == SAME for line in lines)
        all_of_them = counted(len(lines), "decision replays", "decisions replay")
        print(wrapped(f"{same} of {all_of_them} to the same, bit for bit", width=text_width()))


def table_of(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Give the decisions as a table whose texts alone break."""
    table = Table(box=None, pad_edge=False)
    for heading in headings[:IN_ONE_LINE]:
        table.add_column(heading, no_wrap=True)
    for heading in headings[IN_ONE_LINE:]:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def show_folded(rows: Sequence[Sequence[str]], screen: Console) -> None:
    """Print each row with its texts under the short cells: beside them is no room."""
    widths = [max(len(row[column]) for row in rows) for column in range(IN_ONE_LINE)]
    for number, row in enumerate(rows):
        short = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        lines = [wrapped(short.rstrip(), "", 4, text_width())]
        lines += [wrapped(text, "    ", width=text_width()) for text in row[IN_ONE_LINE:]]
        style = "" if number else "bold"
        screen.print(Text("\n".join(lines), style), soft_wrap=True)


def cells_of(line: Line, *, replayed: bool) -> list[str]:
    """Write one decision: the short cells, then its texts."""
    cells = [str(line.id), line.time, replicas_of(line), line.reason, line.message]
    return [*cells, *([line.again or ""] if replayed else [])]


def replicas_of(line: Line) -> str:
    """Write what was decided; `*` marks what the target was asked for."""
    return f"{line.before}->{line.after}{'' if line.asked is None else '*'}"


def show_one(key: str, entry: RecordedDecision, line: Line) -> None:
    """Print one decision, worked out."""
    asked = (
        "nothing was written" if line.asked is None else f"the target was asked for {line.asked}"
    )
    width = text_width()
    head = f"{key}, decision {line.id} of {line.time}: {line.reason}; {asked}"
    print(wrapped(head, width=width))
    print(text_of(entry.record, line.message, width))
    if line.again is not None:
        exact = ", bit for bit" if line.again == SAME else ""
        print(f"\n{wrapped(f'Replay: {line.again}{exact}', width=width)}")
