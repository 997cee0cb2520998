"""`kubectl queueworker`: look at QueueWorkers by kubectl's own kubeconfig and context."""

from collections.abc import Sequence

from queueworker_operator.cli.ending import run_to_end
from queueworker_operator.plugin.command import PROGRAM
from queueworker_operator.plugin.parser import build_parser

__all__ = ["build_parser", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code. Expected failures are one line on stderr."""
    return run_to_end(build_parser().parse_args(arguments), PROGRAM)
