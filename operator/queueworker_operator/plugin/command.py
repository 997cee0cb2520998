"""One command of the plugin: its help, which teaches with examples, and the flags that all share."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from queueworker_operator.cli.output import add_output
from queueworker_operator.cli.worked import wrapped

PROGRAM = "kubectl queueworker"
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no public name


@dataclass(frozen=True, slots=True, kw_only=True)
class Help:
    """What a command is for, in a line and in a few; examples lack the program's name."""

    purpose: str
    about: str
    examples: tuple[str, ...]


def add_place(
    options: "argparse.ArgumentParser | argparse._ArgumentGroup",
    *,
    default: str | None = None,
) -> None:
    """Add the options that kubectl has too: which namespace of which cluster."""
    for names, metavar, told in (
        (("-n", "--namespace"), "NS", "(default: the context's)"),
        (("--context",), None, "of the kubeconfig (default: the current one)"),
        (("--kubeconfig",), "FILE", "(default: KUBECONFIG, ~/.kube/config)"),
    ):
        options.add_argument(*names, metavar=metavar, default=default, help=told)


def add_command(
    several: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    told: Help,
    *,
    output: bool = True,
) -> argparse.ArgumentParser:
    """Add a command; without `output` it brings its own `-o`."""
    shown = "\n".join(f"  {PROGRAM} {example}" for example in told.examples)
    parser = several.add_parser(
        name,
        help=told.purpose,
        description=wrapped(told.about),
        epilog=f"examples:\n{shown}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if output:
        add_output(parser)
    access = parser.add_argument_group("cluster and database")
    # Absent, they leave what stands before the command: a default would put itself in its place.
    add_place(access, default=argparse.SUPPRESS)
    access.add_argument(
        "--dsn", help="of the queues' database (default: from the Secret that the resource names)"
    )
    parser.set_defaults(run=run)
    return parser
