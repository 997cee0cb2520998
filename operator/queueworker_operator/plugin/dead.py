"""`kubectl queueworker dead`: the dead letters of a QueueWorker's queues."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from queueworker_operator.cli.output import print_document
from queueworker_operator.cli.screen import console
from queueworker_operator.errors import GrantMissing, InvalidSettings
from queueworker_operator.lag.letters import DeadLetter, dead_letters
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.plugin.access import Access, dsn_of, find, plain, reachable_errors
from queueworker_operator.plugin.command import Commands, Help, add_command
from queueworker_operator.plugin.tree import age
from queueworker_operator.resource import parse
from queueworker_operator.text import counted, printable

LONGEST_ERROR = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How many there are by queue, and the newest of them."""

    counts: Mapping[str, int]
    letters: Sequence[DeadLetter]


def add_to(several: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        several,
        "dead",
        run,
        Help(
            purpose="list the dead letters of its queues",
            about=(
                "List the newest dead letters of the QueueWorker's queues. The role of its Secret needs "
                "queueworker_reader for that, which the operator does without."
            ),
            examples=("dead mail --most 5",),
        ),
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--most", type=int, default=20, metavar="N", help="so many (20)")


def run(arguments: argparse.Namespace) -> int:
    """Print the newest."""
    if arguments.most < 1:
        raise InvalidSettings("--most must be 1 or more")
    name = plain(arguments.name)
    found = asyncio.run(_find(Access.of(arguments), name, arguments.most))
    if arguments.output == "table":
        show(found, name)
    else:
        print_document(asdict(found), arguments.output)
    return 0


async def _find(access: Access, name: str, most: int) -> Found:
    async with access.client() as client:
        body = await find(client, access.namespace, name)
        queues, dsn = parse(body).queues, await dsn_of(client, access, body)
    with reachable_errors(access):
        counts = await _counts(dsn, queues)
        try:
            return Found(counts=counts, letters=await dead_letters(dsn, queues, most))
        except GrantMissing as exc:
            raise InvalidSettings(
                f"{name} has {counted(sum(counts.values()), 'dead letter')}, and the role of its Secret may not "
                "read them: grant queueworker_reader to it, or give --dsn of a role that has it"
            ) from exc


async def _counts(dsn: str, queues: Sequence[str]) -> Mapping[str, int]:
    source = PostgresLag(dsn)
    try:
        lags = await source.look(queues)
    finally:
        await source.close()
    return {queue: row.dead for queue, row in lags.rows.items()}


def show(found: Found, name: str) -> None:
    """Print for people."""
    total = sum(found.counts.values())
    if not found.letters:
        print(f"No dead letters in the queues of {name}.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("ID", "QUEUE", "TASK", "KIND", "ATTEMPT", "AGE"):
        table.add_column(heading, no_wrap=True)
    table.add_column("ERROR", overflow="fold")
    for one in found.letters:
        error = printable(" ".join(one.error.split()))[:LONGEST_ERROR]
        cells = (str(one.id), one.queue, one.task, one.kind, str(one.attempt), age(one.age_s))
        table.add_row(*map(Text, (*cells, error)))
    console().print(table)
    if total > len(found.letters):
        print(f"... and {total - len(found.letters)} more: --most {total}")
    queue = found.letters[0].queue
    print(
        f"All errors of one: queueworker dead show {found.letters[0].id}\n"
        f"Once mended:       queueworker dead retry --queue {queue}"
    )
