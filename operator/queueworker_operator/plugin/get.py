"""`kubectl queueworker get`: the tree, once or again each second."""

import argparse
import asyncio
import json
import signal
from contextlib import nullcontext, suppress
from dataclasses import asdict

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from queueworker_operator.cli.output import print_document
from queueworker_operator.cli.screen import console
from queueworker_operator.errors import OperatorError
from queueworker_operator.plugin.access import Access, plain
from queueworker_operator.plugin.command import Commands, Help, add_command
from queueworker_operator.plugin.draw import forest_of
from queueworker_operator.plugin.looking import Looking
from queueworker_operator.plugin.tree import Branch

EVERY_S = 1.0


def add_to(several: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        several,
        "get",
        run,
        Help(
            purpose="show QueueWorkers with their Deployments, pods and what the pods hold",
            about=(
                "Show QueueWorkers, their Deployments, and each pod with the jobs that its worker holds. "
                "Without names all of the namespace."
            ),
            examples=(
                "get mail --watch",
                "get -A -o json",
            ),
        ),
    )
    parser.add_argument("name", nargs="*", metavar="NAME")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of the whole cluster")
    parser.add_argument(
        "-w", "--watch", action="store_true", help="draw it again each second until Ctrl-C"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print QueueWorkers with all that belongs to them; Ctrl-C ends a watch in good order."""
    access = Access.of(arguments)
    if not arguments.watch:
        show(asyncio.run(_once(access, arguments)), access, arguments)
        return 0
    # A shell starts what it runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        asyncio.run(_watch(access, arguments))
    return 0


async def _once(access: Access, arguments: argparse.Namespace) -> list[Branch]:
    async with Looking(access) as looking:
        return await _look(looking, arguments)


async def _look(looking: Looking, arguments: argparse.Namespace) -> list[Branch]:
    names = [plain(name) for name in arguments.name]
    return await looking.branches(names, everywhere=arguments.all_namespaces)


def show(branches: list[Branch], access: Access, arguments: argparse.Namespace) -> None:
    """Print once."""
    if arguments.output != "table":
        print_document([asdict(branch) for branch in branches], arguments.output)
        return
    if not branches:
        place = "the cluster" if arguments.all_namespaces else f"namespace {access.namespace}"
        print(f"No QueueWorker in {place}.")
        return
    console().print(forest_of(branches))


async def _watch(access: Access, arguments: argparse.Namespace) -> None:
    """Draw again each second. A cluster that goes away is waited for; the last tree stays."""
    screen = console()
    drawn = arguments.output == "table" and screen.is_terminal
    branches: list[Branch] | None = None
    live = Live(console=screen, auto_refresh=False, screen=True) if drawn else nullcontext()
    async with Looking(access) as looking:
        try:
            with live:
                while True:
                    trouble = ""
                    try:
                        branches = await _look(looking, arguments)
                    except OperatorError as exc:
                        if branches is None:
                            raise
                        trouble = " ".join(f"{exc}; trying again".split())
                    _draw(live if isinstance(live, Live) else screen, branches, trouble, arguments)
                    await asyncio.sleep(EVERY_S)
        finally:
            if drawn and branches:
                screen.print(forest_of(branches))


def _draw(
    place: Live | Console, branches: list[Branch], trouble: str, arguments: argparse.Namespace
) -> None:
    """Draw in place on a terminal; elsewhere one after the other, as JSON one a line."""
    if arguments.output == "json":
        print(json.dumps([asdict(branch) for branch in branches]), flush=True)
        return
    if arguments.output == "yaml":
        print("---")
        print_document([asdict(branch) for branch in branches], arguments.output)
        return
    tree = Group(forest_of(branches), *([Text(trouble, style="red")] if trouble else []))
    if isinstance(place, Live):
        place.update(tree, refresh=True)
    else:
        place.print(tree, Text())
