"""`queueworker job`: show and cancel jobs."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from queueworker.cli.command import Commands, add_command, agreed, ask, table
from queueworker.cli.dead import run_show
from queueworker.cli.names import require
from queueworker.errors import InvalidSetting
from queueworker.store import CancelCount, Store
from queueworker.text import counted

BUSY_TRIES = 20
BUSY_PAUSE_S = 0.1


def add_to(commands: Commands) -> None:
    """Add the commands."""
    parser = add_command(commands, "job", "show or cancel jobs")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = add_command(
        actions,
        "show",
        "show a job: its state, arguments, attempts and errors",
        "queueworker job show 42",
    )
    show.add_argument("id", type=int, metavar="ID")
    show.add_argument("--json", action="store_true")
    show.set_defaults(run=run_show, role="queueworker_reader")
    cancel = add_command(
        actions,
        "cancel",
        "cancel jobs, waiting, scheduled or running: by id, or all of a queue",
        "queueworker job cancel --queue mail --task send_mail --yes",
    )
    cancel.add_argument("id", type=int, nargs="*", metavar="ID")
    cancel.add_argument("--queue", metavar="NAME", help="all jobs of this queue")
    cancel.add_argument("--task", metavar="NAME", help="only those of this task")
    cancel.add_argument("--yes", action="store_true", help="do it; without it, only count")
    cancel.set_defaults(run=run_cancel, role="queueworker_worker")


def run_cancel(arguments: argparse.Namespace) -> int:
    """Cancel jobs."""
    if arguments.id and arguments.queue:
        raise InvalidSetting("give ids or --queue, not both")
    if not arguments.id and not arguments.queue:
        raise InvalidSetting("say which jobs: their ids, or --queue")
    if arguments.id:
        if arguments.task:
            raise InvalidSetting("--task goes with --queue; leave it away beside ids")
        return _cancel_by_id(arguments.id)
    return _cancel_many(arguments)


def _cancel_by_id(ids: Sequence[int]) -> int:
    states = ask(lambda store: _cancel_each(store, ids))
    for job_id, was, why_not in states:
        if was is None:
            sys.stderr.write(f"job {job_id} {why_not}\n")
        else:
            print(f"job {job_id} was {was} and is cancelled")
    return 0 if all(was for _, was, _ in states) else 1


async def _cancel_each(store: Store, ids: Sequence[int]) -> list[tuple[int, str | None, str]]:
    states = []
    for job_id in ids:
        was = await store.job_cancel(job_id)
        states.append((job_id, was, "" if was else await _why_not(store, job_id)))
    return states


async def _why_not(store: Store, job_id: int) -> str:
    if await store.dead_find([job_id]):
        return f"is a dead letter already; to delete it: queueworker dead purge --id {job_id}"
    return f"is in no queue: it has ended, or never was; see: queueworker job show {job_id}"


def _cancel_many(arguments: argparse.Namespace) -> int:
    counts = ask(lambda store: _count(store, arguments))
    total = sum(count.jobs for count in counts)
    if not total:
        print(f"no jobs {_described(arguments)}")
        return 0
    if not arguments.yes and not _agreed(
        counts, f"cancel {counted(total, 'job')} {_described(arguments)}"
    ):
        print("nothing was changed")
        return 1
    cancelled = ask(lambda store: _carry_out(store, arguments))
    are = "is" if cancelled == 1 else "are"
    print(f"{counted(cancelled, 'job')} {_described(arguments)} {are} cancelled")
    return 0


async def _count(store: Store, arguments: argparse.Namespace) -> list[CancelCount]:
    await require(store, arguments.queue)
    return await store.job_cancel_count(arguments.queue, arguments.task)


def _agreed(counts: Sequence[CancelCount], what: str) -> bool:
    """Say what would be done; ask a person, refuse a script."""
    rows = [(count.task, count.state, count.jobs) for count in counts]
    print(table([("TASK", "STATE", "JOBS"), *rows]))
    return agreed(what)


async def _carry_out(store: Store, arguments: argparse.Namespace) -> int:
    """Cancel a batch a transaction; what starts or ends at this moment is tried again."""
    cancelled, patience = 0, BUSY_TRIES
    while patience:
        batch = await store.job_cancel_many(arguments.queue, arguments.task)
        cancelled += batch
        if not batch:
            if not await store.job_cancel_count(arguments.queue, arguments.task):
                break
            patience -= 1
            await asyncio.sleep(BUSY_PAUSE_S)
    return cancelled


def _described(arguments: argparse.Namespace) -> str:
    task = f" of task {arguments.task}" if arguments.task else ""
    return f"of queue {arguments.queue}{task}"
