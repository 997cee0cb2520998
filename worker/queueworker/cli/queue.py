"""`queueworker queue`."""

import argparse
import sys
import time

from queueworker.cli import retain
from queueworker.cli.command import Commands, add_command, agreed, ask, table, to_json
from queueworker.cli.durations import span
from queueworker.cli.names import add_queue, missing
from queueworker.errors import InvalidSetting
from queueworker.store import MoveState, QueueContents, QueueSummary, Store
from queueworker.text import counted

TELL_EVERY_S = 1.0


def add_to(commands: Commands) -> None:
    """Add the commands."""
    parser = add_command(commands, "queue", "create, list, pause, resume, move or drop queues")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_places(actions)
    listing = add_command(actions, "list", "show all queues")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=run_list, role="queueworker_reader")
    pause = add_command(
        actions, "pause", "stop claims; running jobs go on", "queueworker queue pause mail"
    )
    pause.set_defaults(run=run_pause, role="queueworker_owner")
    resume = add_command(actions, "resume", "claim again", "queueworker queue resume mail")
    resume.set_defaults(run=run_resume, role="queueworker_owner")
    retain.add_to_queue(actions)
    for action in (pause, resume):
        add_queue(action)


def _add_places(actions: Commands) -> None:
    create = add_command(
        actions,
        "create",
        "give a queue a partition of its own (worth it for busy queues); work goes on meanwhile",
        "queueworker queue create mail --progress",
    )
    create.set_defaults(run=run_create, role="queueworker_owner")
    back = add_command(
        actions,
        "move-back",
        "return a queue to the default partition; work goes on meanwhile",
        "queueworker queue move-back mail",
    )
    back.set_defaults(run=run_move_back, role="queueworker_owner")
    drop = add_command(
        actions,
        "drop",
        "remove a queue that is empty and not served",
        "queueworker queue drop mail",
    )
    drop.add_argument(
        "--purge", action="store_true", help="remove its jobs and dead letters as well, for good"
    )
    drop.add_argument("--yes", action="store_true", help="do it; without it, --purge only counts")
    drop.set_defaults(run=run_drop, role="queueworker_owner")
    for action in (create, back):
        action.add_argument(
            "--progress", action="store_true", help="tell each second how far it is"
        )
    for action in (create, back, drop):
        add_queue(action)


def run_create(arguments: argparse.Namespace) -> int:
    """Create a queue, or move it to a partition of its own."""
    state = ask(lambda store: _move(store, arguments, own=True))
    row = ask(lambda store: store.queue(arguments.queue))
    print(f"queue {row.name} has the partition {row.part}{_rest(state)}")
    return 0


def run_move_back(arguments: argparse.Namespace) -> int:
    """Move a queue to the default partition."""
    if not ask(lambda store: store.queue_exists(arguments.queue)):
        raise ask(lambda store: missing(store, arguments.queue))
    state = ask(lambda store: _move(store, arguments, own=False))
    print(f"queue {arguments.queue} is in the default partition{_rest(state)}")
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


def run_drop(arguments: argparse.Namespace) -> int:
    """Remove a queue."""
    name = arguments.queue
    if not ask(lambda store: store.queue_exists(name)):
        raise ask(lambda store: missing(store, name))
    found = ask(lambda store: store.queue_contents(name))
    if found.workers or (not arguments.purge and not _is_empty(found)):
        raise _in_use(name, found)
    if arguments.purge and not _is_empty(found) and not arguments.yes:
        what = f"delete queue {name} with {_contents(found)} for good"
        if not agreed(what):
            print("nothing was changed")
            return 1
    if not ask(lambda store: store.queue_drop(name, purge=arguments.purge)):
        # Something came in between.
        raise _in_use(name, ask(lambda store: store.queue_contents(name)))
    print(f"queue {name} is removed" + ("" if _is_empty(found) else f", and {_contents(found)}"))
    return 0


async def _move(store: Store, arguments: argparse.Namespace, *, own: bool) -> MoveState:
    moved, told_s, state = 0, time.monotonic(), MoveState.MOVED
    async for step in store.queue_move(arguments.queue, own=own):
        moved += step.moved
        state = step.state
        if arguments.progress and time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            sys.stderr.write(f"{counted(moved, 'job')} moved{_still(state)}\n")
    if arguments.progress:
        sys.stderr.write(f"{counted(moved, 'job')} moved{_still(state)}\n")
    return state


def _still(state: MoveState) -> str:
    return "" if state is MoveState.MOVED else f", {state.value}"


def _rest(state: MoveState) -> str:
    if state is MoveState.MOVED:
        return ""
    return "; jobs that run end in the old one, workers tidy up after them"


def _kept(queue: QueueSummary) -> str:
    """Say what is kept for how long; only what is not the default."""
    kept = {"": queue.finished_s, "dead ": queue.dead_s}
    return ", ".join(f"{name}{span(for_s)}" for name, for_s in kept.items() if for_s)


def _state(queue: QueueSummary) -> str:
    states = (("paused", queue.paused), ("moving", queue.moving))
    return " ".join(word for word, is_so in states if is_so)


def _is_empty(found: QueueContents) -> bool:
    return not found.jobs and not found.dead


def _contents(found: QueueContents) -> str:
    parts = ((found.jobs, "job"), (found.dead, "dead letter"))
    return " and ".join(counted(count, noun) for count, noun in parts if count)


def _in_use(name: str, found: QueueContents) -> InvalidSetting:
    """Say what is in the way, and what helps against that alone."""
    has, remedies = [], []
    if found.workers:
        has.append(counted(found.workers, "live worker"))
        remedies.append("stop the workers")
    if not _is_empty(found):
        has.append(_contents(found))
        remedies.append("add --purge to delete them for good")
    return InvalidSetting(f"queue {name} has {' and '.join(has)}; {', and '.join(remedies)}")
