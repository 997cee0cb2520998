"""Which QueueWorker a command is about, and whose database it asks."""

import argparse

from queueworker_operator.cli.dsn import add_dsn
from queueworker_operator.errors import InvalidSettings


def add_key(parser: argparse.ArgumentParser) -> None:
    """Describe the name and the flag of the database."""
    parser.add_argument("name", metavar="NAMESPACE/NAME")
    add_dsn(parser)


def key_of(arguments: argparse.Namespace) -> str:
    """Give the name, "namespace/name".

    Raises:
        InvalidSettings: it is none.
    """
    name = str(arguments.name)
    if name.count("/") != 1:
        raise InvalidSettings(f"{name!r} is no NAMESPACE/NAME: write default/mail")
    return name
