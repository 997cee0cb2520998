"""Which database a command asks."""

import argparse
import os

from queueworker_operator.errors import InvalidSettings

DSN_VARIABLE = "QUEUEWORKER_DSN"


def add_dsn(parser: argparse.ArgumentParser) -> None:
    """Describe the flag."""
    parser.add_argument("--dsn", help=f"of the queues' database (default: {DSN_VARIABLE})")


def dsn_of(arguments: argparse.Namespace) -> str:
    """Give the DSN of the flag, or of the environment.

    Raises:
        InvalidSettings: there is none.
    """
    dsn = arguments.dsn or os.environ.get(DSN_VARIABLE)
    if not dsn:
        raise InvalidSettings(f"no database to ask: set {DSN_VARIABLE} or give --dsn")
    return str(dsn)
