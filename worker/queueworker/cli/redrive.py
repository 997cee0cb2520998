"""`queueworker dead retry` and `dead purge`: many at once, counted first, in small transactions."""

import argparse
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from queueworker.cli.command import Commands, add_command, agreed, ask, table
from queueworker.cli.names import require
from queueworker.cli.selection import add_selection, described, selected
from queueworker.errors import InvalidSetting
from queueworker.store import DeadCount, KeyConflict, Selection, Store
from queueworker.text import counted

A_BATCH = 1000
SHOWN_CONFLICTS = 10
TELL_EVERY_S = 5.0
REDRAW_EVERY_S = 0.2


class Action(Enum):
    """What is done to dead letters, as people say it."""

    RETRY = "retry"
    PURGE = "delete for good"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a command line asks for: an action on a selection, or on jobs by id."""

    action: Action
    words: str
    selection: Selection
    ids: Sequence[int]
    counts: Sequence[DeadCount]

    @property
    def total(self) -> int:
        """Give how many dead letters it is about."""
        return len(self.ids) or sum(count.jobs for count in self.counts)


def add_to_dead(actions: Commands) -> None:
    """Add `dead retry` and `dead purge`."""
    retry = add_command(
        actions,
        "retry",
        "make dead letters ready again, with all their attempts",
        "queueworker dead retry --queue mail --task send_mail --since 2h --yes",
    )
    retry.set_defaults(run=lambda arguments: _run(arguments, Action.RETRY))
    purge = add_command(
        actions,
        "purge",
        "delete dead letters and their errors for good",
        "queueworker dead purge --queue mail --until 30d --yes",
    )
    purge.set_defaults(run=lambda arguments: _run(arguments, Action.PURGE))
    for action in (retry, purge):
        action.set_defaults(role="queueworker_owner")
        add_selection(action)
        action.add_argument("--id", type=int, action="append", help="only this job; again for more")
        action.add_argument("--yes", action="store_true", help="do it; without it, only count")


def _run(arguments: argparse.Namespace, action: Action) -> int:
    order = ask(lambda store: _order(store, arguments, action))
    if not order.total:
        print(f"no dead letters {order.words}")
        return 0
    is_named = action is Action.RETRY and bool(order.ids)
    if not (arguments.yes or is_named or _agreed(order)):
        print("nothing was changed")
        return 1
    changed, conflicts = ask(lambda store: _carry_out(store, order))
    letters = " ".join([counted(changed, "dead letter"), *order.words.split()])
    print(f"{letters} {_done(action, changed)}")
    for conflict in conflicts[:SHOWN_CONFLICTS]:
        print(
            f"job {conflict.id} stays dead: job {conflict.taken_by} has its unique key"
            f" {conflict.unique_key!r}",
            file=sys.stderr,
        )
    if len(conflicts) > SHOWN_CONFLICTS:
        print(f"and {len(conflicts) - SHOWN_CONFLICTS} more for the same reason", file=sys.stderr)
    return 1 if conflicts else 0


def _done(action: Action, changed: int) -> str:
    if action is Action.RETRY:
        return "is ready again" if changed == 1 else "are ready again"
    return "was deleted" if changed == 1 else "were deleted"


async def _order(store: Store, arguments: argparse.Namespace, action: Action) -> Order:
    if arguments.queue is not None:
        await require(store, arguments.queue)
    now = await store.now()
    selection = selected(arguments, now)
    words = described(selection)
    if arguments.id:
        await _require_dead(store, arguments.id, selection)
        return Order(action=action, words=words, selection=selection, ids=arguments.id, counts=())
    if selection.queue is None:
        raise InvalidSetting("say which dead letters: --queue, or --id")
    # Only what is counted is changed: not what dies meanwhile.
    selection = replace(selection, until=selection.until or now)
    counts = await store.dead_count(selection)
    return Order(action=action, words=words, selection=selection, ids=(), counts=counts)


async def _require_dead(store: Store, ids: Sequence[int], selection: Selection) -> None:
    if selection != Selection(queue=selection.queue):
        raise InvalidSetting("--id names the jobs; leave the other flags but --queue away")
    found = await store.dead_find(ids)
    missing = [
        job_id for job_id in ids if found.get(job_id) != (selection.queue or found.get(job_id, ""))
    ]
    if missing:
        shown = ", ".join(map(str, missing[:SHOWN_CONFLICTS]))
        where = f" of {selection.queue}" if selection.queue else ""
        raise InvalidSetting(
            f"no dead letters{where}: {shown}; nothing was changed; see: queueworker dead list"
        )


def _agreed(order: Order) -> bool:
    """Say what would be done; ask a person, refuse a script."""
    if order.counts:
        rows = [(count.task, count.kind, count.jobs) for count in order.counts]
        print(table([("TASK", "KIND", "JOBS"), *rows]))
    letters = counted(order.total, "dead letter")
    return agreed(f"{order.action.value} {letters} {order.words}".rstrip())


async def _carry_out(store: Store, order: Order) -> tuple[int, list[KeyConflict]]:
    """Change a batch a transaction, so that no lock is held for long."""
    changed, seen = 0, 0
    conflicts: list[KeyConflict] = []
    progress = Progress(order.total)
    async for queue, ids in _batches(store, order):
        if order.action is Action.PURGE:
            changed += await store.dead_purge(queue, ids)
        else:
            retried = await store.dead_retry(queue, ids)
            conflicts += await store.dead_conflicts(ids) if retried < len(ids) else []
            changed += retried
        seen += len(ids)
        progress.show(seen, time.monotonic())
    progress.end()
    return changed, conflicts


async def _batches(store: Store, order: Order) -> AsyncIterator[tuple[str, list[int]]]:
    if not order.ids:
        async for page in store.dead_pages(order.selection, A_BATCH):
            yield order.selection.queue or "", page
        return
    queues = await store.dead_find(order.ids)
    for queue in dict.fromkeys(queues.values()):
        yield queue, [job_id for job_id, place in queues.items() if place == queue]


class Progress:
    """Tells how far a long change is: in place on a terminal, else a line now and then."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._is_terminal = sys.stderr.isatty()
        self._told_s = time.monotonic()
        self._has_told = False

    def show(self, seen: int, now_s: float) -> None:
        """Tell, if the last time is long ago."""
        every_s = REDRAW_EVERY_S if self._is_terminal else TELL_EVERY_S
        if now_s - self._told_s < every_s:
            return
        self._told_s, self._has_told = now_s, True
        text = f"{seen} of {self._total}"
        sys.stderr.write(f"\r{text}" if self._is_terminal else f"{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Remove the line from the terminal."""
        if self._is_terminal and self._has_told:
            sys.stderr.write("\r\033[K")
