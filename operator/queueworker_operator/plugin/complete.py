"""`kubectl_complete-queueworker`: what kubectl runs when TAB is pressed after `kubectl queueworker`.

It prints a candidate a line, its help after a tab, and last what the shell shall do beside them.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from queueworker_operator.errors import OperatorError
from queueworker_operator.kube import api
from queueworker_operator.plugin.access import Access
from queueworker_operator.plugin.candidates import Kind, candidates
from queueworker_operator.plugin.command import add_place
from queueworker_operator.plugin.parser import build_parser

WITH_FILES, WITHOUT_FILES = ":0", ":4"  # cobra's directives
WATCHED = {Kind.QUEUE_WORKERS: api.Watched.QUEUE_WORKERS, Kind.PODS: api.Watched.PODS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what the last word may become; a cluster that does not answer has no names."""
    words = list(sys.argv[1:] if arguments is None else arguments) or [""]
    before, word = words[:-1], words[-1]
    found = candidates(build_parser(), before, word)
    known = found.words
    if found.kind in WATCHED:
        known = dict.fromkeys(names(WATCHED[found.kind], before), "")
    for name, told in known.items():
        if name.startswith(word):
            print(f"{name}\t{told}" if told else name)
    print(WITH_FILES if found.kind is Kind.FILES else WITHOUT_FILES)
    return 0


def names(kind: api.Watched, before: Sequence[str]) -> list[str]:
    """List the names there are, by the flags typed so far."""
    flags = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    add_place(flags)
    flags.set_defaults(dsn=None)
    try:
        typed, _ = flags.parse_known_args(before)
        return asyncio.run(_names(kind, Access.of(typed)))
    except (OperatorError, argparse.ArgumentError):
        return []


async def _names(kind: api.Watched, access: Access) -> list[str]:
    async with access.client() as client:
        found = api.list_metadata(client, kind, access.namespace)
        return sorted([one["metadata"]["name"] async for one in found])
