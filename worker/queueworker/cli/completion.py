"""`queueworker completion`."""

import argparse
from functools import partial

from queueworker.cli.command import Commands, add_command
from queueworker.errors import InvalidSetting

SHELLS = ("bash", "zsh", "fish")


def add_to(commands: Commands, program: argparse.ArgumentParser) -> None:
    """Add the command that completes `program`."""
    parser = add_command(
        commands,
        "completion",
        "print the script by which a shell completes commands and options (extra `completion`)",
        'source <(queueworker completion bash)    # or: eval "$(queueworker completion zsh)"',
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=partial(run, program))


def run(program: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError:
        raise InvalidSetting(
            "completion needs the extra `completion`: python -m pip install shtab"
        ) from None
    print(shtab.complete(program, arguments.shell))
    return 0
