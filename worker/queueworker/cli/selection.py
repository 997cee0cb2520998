"""The flags that select dead letters."""

import argparse
from datetime import datetime

from queueworker.cli.durations import moment
from queueworker.job import FailureKind
from queueworker.store import Selection

KINDS = [kind.value for kind in FailureKind]


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--queue", metavar="NAME", help="only this queue")
    parser.add_argument("--task", metavar="NAME", help="only this task")
    parser.add_argument(
        "--kind", choices=KINDS, help=f"how the last attempt ended: {', '.join(KINDS)}"
    )
    parser.add_argument("--error", metavar="TEXT", help="the last error has this text in it")
    parser.add_argument("--since", metavar="WHEN", help="died after that: 2h ago, or an ISO time")
    parser.add_argument("--until", metavar="WHEN", help="died before that")


def selected(arguments: argparse.Namespace, now: datetime) -> Selection:
    """Read the flags; spans count back from `now`."""
    return Selection(
        queue=arguments.queue,
        task=arguments.task,
        kind=arguments.kind,
        error=arguments.error,
        since=_moment(arguments.since, "--since", now),
        until=_moment(arguments.until, "--until", now),
    )


def described(selection: Selection) -> str:
    """Say in words what is selected."""
    words = {
        "of": selection.queue,
        "of task": selection.task,
        "of kind": selection.kind,
        "with error": None if selection.error is None else repr(selection.error),
        "since": _time(selection.since),
        "until": _time(selection.until),
    }
    return " ".join(f"{word} {value}" for word, value in words.items() if value)


def _moment(text: str | None, flag: str, now: datetime) -> datetime | None:
    return None if text is None else moment(text, flag, now)


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(sep=" ", timespec="seconds")
