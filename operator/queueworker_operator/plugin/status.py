"""`kubectl queueworker status`."""

import argparse
import asyncio
import time
from typing import Any

from queueworker_operator.cli.output import print_document
from queueworker_operator.cli.screen import text_width
from queueworker_operator.plugin.access import Access, find, plain
from queueworker_operator.plugin.command import Commands, Help, add_command
from queueworker_operator.plugin.summary import summary


def add_to(several: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        several,
        "status",
        run,
        Help(
            purpose="tell how a QueueWorker does: promise, backlog, decision, conditions",
            about="Tell how a QueueWorker does, from its status alone.",
            examples=("status mail", "status mail -o json | jq .lastDecision"),
        ),
    )
    parser.add_argument("name", metavar="NAME")


def run(arguments: argparse.Namespace) -> int:
    """Print how a QueueWorker does."""
    body = asyncio.run(_body(Access.of(arguments), plain(arguments.name)))
    if arguments.output == "table":
        print("\n".join(summary(body, time.time(), text_width())))
    else:
        print_document(body.get("status") or {}, arguments.output)
    return 0


async def _body(access: Access, name: str) -> dict[str, Any]:
    async with access.client() as client:
        return await find(client, access.namespace, name)
