"""`queueworker queue`."""

import argparse

from queueworker.cli import retain
from queueworker.cli.command import Commands, add_command, ask, table, to_json
from queueworker.cli.durations import span
from queueworker.cli.names import missing
from queueworker.store import QueueSummary


def add_to(commands: Commands) -> None:
    """Add the commands."""
    parser = add_command(commands, "queue", "create, list, pause or resume queues")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = add_command(
        actions,
        "create",
        "give a queue a partition of its own (worth it for busy queues)",
        "queueworker queue create mail",
    )
    create.set_defaults(run=run_create)
    listing = add_command(actions, "list", "show all queues")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=run_list)
    pause = add_command(
        actions, "pause", "stop claims; running jobs go on", "queueworker queue pause mail"
    )
    pause.set_defaults(run=run_pause)
    resume = add_command(actions, "resume", "claim again", "queueworker queue resume mail")
    resume.set_defaults(run=run_resume)
    retain.add_to_queue(actions)
    for action in (create, pause, resume):
        action.add_argument("queue", metavar="NAME")


def run_create(arguments: argparse.Namespace) -> int:
    """Create or move a queue."""
    row = ask(lambda store: store.queue_create(arguments.queue))
    print(f"queue {row.name} has the partition {row.part}")
    return 0


def run_list(arguments: argparse.Namespace) -> int:
    """Show all queues."""
    queues = ask(lambda store: store.queue_list())
    rows = [
        (q.name, q.part, q.ready, q.running, q.scheduled, q.dead, _kept(q), _state(q))
        for q in queues
    ]
    columns = ("QUEUE", "PARTITION", "READY", "RUNNING", "SCHEDULED", "DEAD", "KEPT", "STATE")
    if arguments.json:
        names = [column.lower() for column in columns]
        print(to_json([dict(zip(names, row, strict=True)) for row in rows]))
    else:
        print(table([columns, *rows]) if rows else "no queues yet")
    return 0


def run_pause(arguments: argparse.Namespace) -> int:
    """Pause a queue."""
    if not ask(lambda store: store.queue_pause(arguments.queue)):
        raise ask(lambda store: missing(store, arguments.queue))
    print(f"queue {arguments.queue} is paused")
    return 0


def run_resume(arguments: argparse.Namespace) -> int:
    """Resume a queue."""
    if not ask(lambda store: store.queue_resume(arguments.queue)):
        raise ask(lambda store: missing(store, arguments.queue))
    print(f"queue {arguments.queue} is claimed from again")
    return 0


def _kept(queue: QueueSummary) -> str:
    """Say what is kept for how long; only what is not the default."""
    kept = {"": queue.finished_s, "dead ": queue.dead_s}
    return ", ".join(f"{name}{span(for_s)}" for name, for_s in kept.items() if for_s)


def _state(queue: QueueSummary) -> str:
    return "paused" if queue.paused else ""
