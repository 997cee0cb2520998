"""`queueworker-operator completion`: the script by which a shell completes commands and options."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from queueworker_operator.errors import InvalidSettings

SHELLS = ("bash", "zsh", "fish")


def add_parser(
    commands: "argparse._SubParsersAction[Any]", program: argparse.ArgumentParser
) -> None:
    """Describe the command that completes `program`."""
    parser = commands.add_parser(
        "completion",
        help="print the script by which a shell completes commands and options",
        description="Needs the extra `completion`. kubectl completes its plugin by itself.",
        epilog="example: source <(queueworker-operator completion bash)",
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=partial(run, program))


def run(program: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError:
        raise InvalidSettings(
            "completion needs the extra `completion`: python -m pip install shtab"
        ) from None
    _mark_files(program, shtab.FILE)
    print(shtab.complete(program, arguments.shell))
    return 0


def _mark_files(parser: argparse.ArgumentParser, files: object) -> None:
    """Let paths be completed by the files there are."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for inner in action.choices.values():
                _mark_files(inner, files)
        elif action.type is Path:
            action.complete = files  # type: ignore[attr-defined] # what shtab looks for
