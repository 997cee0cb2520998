"""The command line. Each command is a module with `add_parser` and `run`, named in COMMANDS."""

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType

from queueworker_operator.cli import compare, explain, local, record, run, simulate
from queueworker_operator.errors import InvalidSettings, OperatorError

COMMANDS: tuple[ModuleType, ...] = (run, local, explain, compare, simulate, record)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code. Expected failures are one line on stderr."""
    parsed = build_parser().parse_args(arguments)
    # A command that shows no log keeps to its one line: Python would print warnings otherwise.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        return int(parsed.run(parsed))
    except InvalidSettings as exc:
        return fail(exc, 2)
    except OperatorError as exc:
        return fail(exc, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stderr.close()
        return 141


def build_parser() -> argparse.ArgumentParser:
    """Describe all commands."""
    parser = argparse.ArgumentParser(
        prog="queueworker-operator",
        description="Scales workers of Postgres queues before jobs are late.",
    )
    parser.add_argument(
        "--version", action="version", version=f"queueworker-operator {version('queueworker')}"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def fail(error: Exception, code: int) -> int:
    """Say in one line what went wrong."""
    text = " ".join(str(error).split())
    print(f"queueworker-operator: {text}", file=sys.stderr)
    return code
