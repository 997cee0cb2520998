"""A name that does not exist is an error that says which ones do."""

import argparse
from collections.abc import Sequence
from difflib import get_close_matches

from queueworker.errors import InvalidSetting
from queueworker.store import Store


def add_queue(parser: argparse.ArgumentParser) -> None:
    """Let a command take its queue as `NAME` or as `--queue NAME`; the command line requires one."""
    parser.add_argument("queue", nargs="?", default=argparse.SUPPRESS, metavar="NAME")
    parser.add_argument("--queue", metavar="NAME", help="the same, as other commands take it")
    parser.set_defaults(needs_queue=True)


async def require(store: Store, *queues: str) -> None:
    """Make sure that these queues exist.

    Raises:
        InvalidSetting: one does not; near names are suggested.
    """
    known = await store.queue_names()
    for name in queues:
        if name not in known:
            raise unknown(name, known)


async def missing(store: Store, queue: str) -> InvalidSetting:
    """Give the error for a queue that does not exist."""
    return unknown(queue, await store.queue_names())


def unknown(queue: str, known: Sequence[str]) -> InvalidSetting:
    """Give the error for a queue that is not among the known ones."""
    near = get_close_matches(queue, known, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return InvalidSetting(
        f"there is no queue {queue!r}; {hint}see: queueworker queue list"
        if known
        else f"there is no queue {queue!r}, and no other: the first enqueue makes one"
    )
