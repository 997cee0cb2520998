"""`queueworker dead`: find and show dead letters."""

import argparse
import json
from dataclasses import asdict, replace
from datetime import datetime

from queueworker.cli import redrive
from queueworker.cli.command import Commands, add_command, ask, table, to_json
from queueworker.cli.durations import span
from queueworker.cli.names import require
from queueworker.cli.selection import add_selection, selected
from queueworker.errors import InvalidSetting
from queueworker.store import DeadJob, Failure, ShownJob, Store
from queueworker.text import counted

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
    listing.add_argument(
        "--most", type=int, default=100, metavar="N", help="so many; 100 by default"
    )
    listing.add_argument("--json", action="store_true", help="every field, for programs")
    listing.set_defaults(run=run_list, role="queueworker_reader")
    show = add_command(
        actions,
        "show",
        "show a job with its arguments and all its errors",
        "queueworker dead show 42",
    )
    show.add_argument("id", type=int, metavar="ID")
    show.add_argument("--json", action="store_true")
    show.set_defaults(run=run_show, role="queueworker_reader")
    redrive.add_to_dead(actions)


def run_list(arguments: argparse.Namespace) -> int:
    """Show dead letters."""
    if arguments.most < 1:
        raise InvalidSetting("--most must be 1 or more")
    dead, left = ask(lambda store: _find(store, arguments))
    if arguments.json:
        print(to_json([_fields(job) for job in dead]))
    elif dead:
        print(table([COLUMNS, *map(_row, dead)]))
        if left:
            print(f"... and {left:,} more; --most {len(dead) + left} shows them")
    else:
        print(f"no such dead letters in {arguments.queue or 'any queue'}")
    return 0


async def _find(store: Store, arguments: argparse.Namespace) -> tuple[list[DeadJob], int]:
    """Give the newest dead letters, and how many more there are."""
    if arguments.queue is not None:
        await require(store, arguments.queue)
    selection = selected(arguments, await store.now())
    dead = await store.dead_list(selection, arguments.most)
    if len(dead) < arguments.most:
        return dead, 0
    queues = [arguments.queue] if arguments.queue else await store.queue_names()
    counts = [c for q in queues for c in await store.dead_count(replace(selection, queue=q))]
    return dead, max(0, sum(count.jobs for count in counts) - len(dead))


def run_show(arguments: argparse.Namespace) -> int:
    """Show one job, dead or not, with its errors."""
    job, failures, waits_for = ask(lambda store: _look_up(store, arguments.id))
    if job is None and not failures:
        raise InvalidSetting(
            f"nothing is known of job {arguments.id}; see: queueworker dead list"
            " (a job that succeeded is kept only by: queueworker queue retain)"
        )
    if arguments.json:
        shown = None if job is None else _fields(job)
        errors = [asdict(failure) for failure in failures]
        print(to_json({"job": shown, "waits_for": waits_for, "failures": errors}))
        return 0
    print(f"job {arguments.id} has left the queue" if job is None else _described(job, waits_for))
    if failures:
        print(table([ERROR_COLUMNS, *map(_failure_row, failures)]))
    return 0


async def _look_up(store: Store, job_id: int) -> tuple[ShownJob | None, list[Failure], str | None]:
    job = await store.job_show(job_id)
    waits_for = None if job is None or job.state != "ready" else await _waits_for(store, job)
    return job, await store.job_failures(job_id), waits_for


async def _waits_for(store: Store, job: ShownJob) -> str | None:
    """Say what a ready job waits for, where that is not its turn."""
    (row, *_) = await store.lag([job.queue])
    if row.paused:
        return f"the end of the pause: queueworker queue resume {job.queue}"
    if not row.workers:
        return f"a worker: none is alive that serves queue {job.queue!r}"
    return None if job.task in row.worker_tasks else f"a worker that knows task {job.task!r}"


def _described(job: ShownJob, waits_for: str | None) -> str:
    ended = None if job.finished_at is None else f"{job.state} at {_time(job.finished_at)}"
    lines = [
        ("job", job.id),
        ("queue", job.queue),
        ("task", job.task),
        ("state", ended or job.state),
        ("waits for", waits_for or ""),
        ("attempts", _attempts(job)),
        ("priority", str(job.priority)),
        ("created", _time(job.created_at)),
        ("unique key", job.unique_key or "none"),
        ("worker", job.pod or ""),
    ]
    shown = [f"{name:<11}{value}" for name, value in lines if value != ""]
    args = json.dumps(json.loads(job.args), indent=2, ensure_ascii=False)
    return "\n".join([*shown, f"{'args':<11}{args}", ""])


def _attempts(job: ShownJob) -> str:
    told = f"{job.attempt - job.crash_count} of {job.max_attempts}"
    if not job.crash_count:
        return told
    charged = "that is not charged" if job.crash_count == 1 else "that are not charged"
    return f"{told}, and {counted(job.crash_count, 'crash', 'crashes')} {charged}"


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
