"""`queueworker queue retain` and `queueworker maintain`: how long history is kept."""

import argparse
from collections.abc import Sequence

from queueworker.cli.command import Commands, add_command, ask
from queueworker.cli.durations import seconds, span
from queueworker.cli.names import add_queue, missing
from queueworker.errors import InvalidSetting
from queueworker.store import Retention, Store, Upkeep
from queueworker.text import counted

OFF = ("off",)
FOREVER = ("forever", "off")


def add_to_queue(actions: Commands) -> None:
    """Add `queue retain`."""
    retain = add_command(
        actions,
        "retain",
        "set how long finished jobs, dead letters and errors are kept",
        "queueworker queue retain mail --for 7d --dead-for 30d",
    )
    add_queue(retain)
    retain.add_argument(
        "--for", dest="finished", metavar="7d|off", help="of jobs that succeeded; off keeps none"
    )
    retain.add_argument(
        "--dead-for", metavar="30d|forever", help="of dead letters; off is the same as forever"
    )
    retain.add_argument("--failures-for", metavar="14d", help="of errors of other jobs")
    retain.set_defaults(run=run_retain, role="queueworker_owner")


def add_to(commands: Commands) -> None:
    """Add `maintain`."""
    parser = add_command(
        commands,
        "maintain",
        "remove what is kept too long and prepare the next partitions, as workers do once a minute",
        "queueworker maintain",
    )
    parser.set_defaults(run=run_maintain, role="queueworker_worker")


def run_retain(arguments: argparse.Namespace) -> int:
    """Set what is given; the rest stays."""
    retention = Retention(
        finished_s=_span_s(arguments.finished, "--for", OFF),
        dead_s=_span_s(arguments.dead_for, "--dead-for", FOREVER),
        failures_s=_span_s(arguments.failures_for, "--failures-for", ()),
    )
    if retention == Retention():
        raise InvalidSetting("say what to keep: --for, --dead-for or --failures-for")
    if not ask(lambda store: store.queue_retain(arguments.queue, retention)):
        raise ask(lambda store: missing(store, arguments.queue))
    print(f"queue {arguments.queue} keeps {', '.join(_words(retention))}")
    return 0


def run_maintain(_: argparse.Namespace) -> int:
    """Maintain until nothing is left to do."""
    total = ask(_maintain)
    print(
        f"{counted(total['days_made'], 'partition')} made, {total['days_dropped']} dropped;"
        f" deleted: {counted(total['finished_deleted'], 'finished job')},"
        f" {counted(total['dead_deleted'], 'dead letter')},"
        f" {counted(total['failures_deleted'], 'error')}"
    )
    return 0


async def _maintain(store: Store) -> dict[str, int]:
    rounds: list[Upkeep] = []
    while not rounds or rounds[-1].has_more:
        upkeep = await store.maintain(at_once=True)
        if upkeep is None:
            raise InvalidSetting("another maintenance is under way; try again in a minute")
        rounds.append(upkeep)
    names = ("days_made", "days_dropped", "finished_deleted", "dead_deleted", "failures_deleted")
    return {name: sum(getattr(upkeep, name) for upkeep in rounds) for name in names}


def _span_s(text: str | None, flag: str, words: Sequence[str]) -> float | None:
    if text is None:
        return None
    return 0.0 if text in words else seconds(text, flag, words[0] if words else "")


def _words(retention: Retention) -> list[str]:
    words = []
    if retention.finished_s is not None:
        for_s = retention.finished_s
        words.append(f"finished jobs for {span(for_s)}" if for_s else "no finished jobs")
    if retention.dead_s is not None:
        dead_s = retention.dead_s
        words.append(f"dead letters {f'for {span(dead_s)}' if dead_s else 'for ever'}")
    if retention.failures_s is not None:
        words.append(f"errors for {span(retention.failures_s)}")
    return words
