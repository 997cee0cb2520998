"""What the command line understands, and the help that teaches it."""

import argparse

from queueworker.cli import (
    completion,
    database,
    dead,
    enqueue,
    job,
    migrate,
    queue,
    retain,
    stats,
    worker,
)
from queueworker.worker.start import own_version

DESCRIPTION = """A Postgres job queue for Python.

The database is named by QUEUEWORKER_DSN (postgresql://user:password@host/dbname).
"""
EPILOG = """from nothing to a running worker:
  export QUEUEWORKER_DSN="$(queueworker db start --path pg)"
  queueworker migrate
  queueworker worker --app tasks:app --queue mail --concurrency 5
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser; each command sets `run`."""
    parser = argparse.ArgumentParser(
        prog="queueworker",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"queueworker {own_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (migrate, worker, enqueue, stats, job, dead, queue, retain, database):
        module.add_to(commands)
    completion.add_to(commands, parser)
    return parser
