"""The command line. Each command is a module with `add_parser` and `run`, named in COMMANDS."""

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType

from queueworker_operator.cli import (
    compare,
    completion,
    convert,
    explain,
    local,
    record,
    run,
    simulate,
)
from queueworker_operator.cli.ending import run_to_end

PROGRAM = "queueworker-operator"
COMMANDS: tuple[ModuleType, ...] = (run, local, explain, compare, simulate, record, convert)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code. Expected failures are one line on stderr."""
    return run_to_end(build_parser().parse_args(arguments), PROGRAM)


def build_parser() -> argparse.ArgumentParser:
    """Describe all commands."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Scales workers of Postgres queues before jobs are late.",
    )
    parser.add_argument(
        "--version", action="version", version=f"{PROGRAM} {version('queueworker')}"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    completion.add_parser(commands, parser)
    return parser
