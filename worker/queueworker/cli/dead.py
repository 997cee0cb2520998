"""`queueworker dead`: find and show dead letters."""

import argparse
import json
from dataclasses import asdict
from datetime import datetime

from queueworker.cli import redrive
from queueworker.cli.command import Commands, add_command, ask, table, to_json
from queueworker.cli.durations import span
from queueworker.cli.names import require
from queueworker.cli.selection import add_selection, selected
from queueworker.errors import InvalidSetting
from queueworker.store import DeadJob, Failure, ShownJob, Store

ERROR_WIDTH = 100
COLUMNS = ("ID", "QUEUE", "TASK", "KIND", "ERROR", "ATTEMPT", "CRASHES", "AGE")
ERROR_COLUMNS = ("ATTEMPT", "WHEN", "KIND", "WORKER", "ERROR")


def add_to(commands: Commands) -> None:
    """Add the commands."""
    parser = add_command(commands, "dead", "find, show, retry or purge dead letters")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = add_command(
        actions,
        "list",
        "show dead letters, the newest first",
        "queueworker dead list --queue mail --error timeout --since 2h",
    )
    add_selection(listing)
    listing.add_argument("--most", type=int, default=100, metavar="N")
    listing.add_argument("--json", action="store_true", help="every field, for programs")
    listing.set_defaults(run=run_list)
    show = add_command(
        actions,
        "show",
        "show a job with its arguments and all its errors",
        "queueworker dead show 42",
    )
    show.add_argument("id", type=int, metavar="ID")
    show.add_argument("--json", action="store_true")
    show.set_defaults(run=run_show)
    redrive.add_to_dead(actions)


def run_list(arguments: argparse.Namespace) -> int:
    """Show dead letters."""
    if arguments.most < 1:
        raise InvalidSetting("--most must be 1 or more")
    dead = ask(lambda store: _find(store, arguments))
    if arguments.json:
        print(to_json([_fields(job) for job in dead]))
    elif dead:
        print(table([COLUMNS, *map(_row, dead)]))
    else:
        print(f"no such dead letters in {arguments.queue or 'any queue'}")
    return 0


async def _find(store: Store, arguments: argparse.Namespace) -> list[DeadJob]:
    if arguments.queue is not None:
        await require(store, arguments.queue)
    return await store.dead_list(selected(arguments, await store.now()), arguments.most)


def run_show(arguments: argparse.Namespace) -> int:
    """Show one job, dead or not, with its errors."""
    job, failures = ask(lambda store: _look_up(store, arguments.id))
    if job is None and not failures:
        raise InvalidSetting(
            f"nothing is known of job {arguments.id}; see: queueworker dead list"
            " (a job that succeeded is kept only by: queueworker queue retain)"
        )
    if arguments.json:
        shown = None if job is None else _fields(job)
        print(to_json({"job": shown, "failures": [asdict(failure) for failure in failures]}))
        return 0
    print(f"job {arguments.id} has left the queue" if job is None else _described(job))
    if failures:
        print(table([ERROR_COLUMNS, *map(_failure_row, failures)]))
    return 0


async def _look_up(store: Store, job_id: int) -> tuple[ShownJob | None, list[Failure]]:
    return await store.job_show(job_id), await store.job_failures(job_id)


def _described(job: ShownJob) -> str:
    ended = None if job.finished_at is None else f"{job.state} at {_time(job.finished_at)}"
    lines = [
        ("job", job.id),
        ("queue", job.queue),
        ("task", job.task),
        ("state", ended or job.state),
        ("attempts", f"{job.attempt} of {job.max_attempts}, {job.crash_count} crashes among them"),
        ("priority", str(job.priority)),
        ("created", _time(job.created_at)),
        ("unique key", job.unique_key or "none"),
        ("worker", job.pod or ""),
    ]
    shown = [f"{name:<11}{value}" for name, value in lines if value != ""]
    args = json.dumps(json.loads(job.args), indent=2, ensure_ascii=False)
    return "\n".join([*shown, f"{'args':<11}{args}", ""])


def _row(job: DeadJob) -> tuple[object, ...]:
    return (
        job.id,
        job.queue,
        job.task,
        job.kind,
        _one_line(job.error),
        job.attempt,
        job.crash_count,
        span(job.died_age_s),
    )


def _failure_row(failure: Failure) -> tuple[object, ...]:
    worker = failure.pod or str(failure.worker_id or "")[:8]
    error = " ".join(failure.error.split())
    return (failure.attempt, _time(failure.failed_at), failure.kind, worker, error)


def _one_line(error: str) -> str:
    text = " ".join(error.split())
    return text if len(text) <= ERROR_WIDTH else f"{text[: ERROR_WIDTH - 1]}…"


def _time(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="seconds")


def _fields(job: DeadJob | ShownJob) -> dict[str, object]:
    return {**asdict(job), "args": json.loads(job.args)}
