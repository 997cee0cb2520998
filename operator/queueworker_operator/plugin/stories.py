"""`kubectl queueworker why` and `compare`: what the database has recorded."""

import argparse
import asyncio
from collections.abc import Callable

from queueworker_operator.cli import compare, explain
from queueworker_operator.plugin.access import Access, dsn_of, find, plain, reachable_errors
from queueworker_operator.plugin.command import Commands, Help, add_command

Tell = Callable[[argparse.Namespace, str, str], int]


def add_to(several: Commands) -> None:
    """Describe the commands."""
    why = Help(
        purpose=explain.PURPOSE,
        about="Show its recorded decisions, newest last; with --decision one of them, worked out by "
        "hand.",
        examples=("why mail", "why mail --decision last --replay"),
    )
    parser = add_command(several, "why", run_why, why, output=False)
    parser.add_argument("name", metavar="NAME")
    explain.add_flags(parser)
    compared = Help(
        purpose=compare.PURPOSE, about=compare.ABOUT, examples=("compare mail --hours 2",)
    )
    parser = add_command(several, "compare", run_compare, compared, output=False)
    parser.add_argument("name", metavar="NAME")
    compare.add_flags(parser)


def run_why(arguments: argparse.Namespace) -> int:
    """Print the decisions of a QueueWorker."""
    return _with_database(arguments, explain.tell)


def run_compare(arguments: argparse.Namespace) -> int:
    """Print the comparison of a DryRun."""
    return _with_database(arguments, compare.tell)


def _with_database(arguments: argparse.Namespace, tell: Tell) -> int:
    access, name = Access.of(arguments), plain(arguments.name)
    dsn = asyncio.run(_dsn(access, name))
    with reachable_errors(access):
        return tell(arguments, dsn, f"{access.namespace}/{name}")


async def _dsn(access: Access, name: str) -> str:
    async with access.client() as client:
        body = await find(client, access.namespace, name)
        return await dsn_of(client, access, body)
