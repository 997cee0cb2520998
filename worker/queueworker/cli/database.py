"""`queueworker db`."""

import argparse

from queueworker import embedded
from queueworker.cli.command import Commands, add_command

DEFAULT_PATH = ".queueworker/pg"


def add_to(commands: Commands) -> None:
    """Add the commands."""
    parser = add_command(commands, "db", "run an embedded Postgres (extra `embedded`)")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    start = add_command(
        actions,
        "start",
        "start it, create it if need be, print its DSN; it goes on until stopped",
        'export QUEUEWORKER_DSN="$(queueworker db start --path pg)"',
    )
    start.set_defaults(run=run_start)
    stop = add_command(actions, "stop", "stop it", "queueworker db stop --path pg")
    stop.set_defaults(run=run_stop)
    dsn = add_command(actions, "dsn", "print the DSN of the running one")
    dsn.set_defaults(run=run_dsn)
    for action in (start, stop, dsn):
        action.add_argument(
            "--path", default=DEFAULT_PATH, metavar="DIR", help=f"default {DEFAULT_PATH}"
        )


def run_start(arguments: argparse.Namespace) -> int:
    """Start the server; the DSN is the only line of output."""
    print(embedded.start(arguments.path))
    return 0


def run_stop(arguments: argparse.Namespace) -> int:
    """Stop the server; a stopped one is no error."""
    print("stopped" if embedded.stop(arguments.path) else f"nothing runs in {arguments.path}")
    return 0


def run_dsn(arguments: argparse.Namespace) -> int:
    """Print the DSN."""
    print(embedded.dsn(arguments.path))
    return 0
