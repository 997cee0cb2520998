"""`queueworker dead`."""

import argparse

from queueworker.cli.command import Commands, add_command, ask, table, to_json
from queueworker.errors import InvalidSetting
from queueworker.store import DeadJob

ERROR_WIDTH = 100


def add_to(commands: Commands) -> None:
    """Add the commands."""
    parser = add_command(commands, "dead", "list, retry or purge dead letters")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = add_command(
        actions, "list", "show dead letters, the newest first", "queueworker dead list --queue mail"
    )
    listing.add_argument("--most", type=int, default=100, metavar="N")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=run_list)
    retry = add_command(
        actions,
        "retry",
        "make dead letters ready again, with all their attempts",
        "queueworker dead retry --queue mail",
    )
    retry.set_defaults(run=run_retry)
    purge = add_command(
        actions,
        "purge",
        "delete dead letters for good",
        "queueworker dead purge --queue mail --yes",
    )
    purge.add_argument("--yes", action="store_true", help="without it, only counts")
    purge.set_defaults(run=run_purge)
    for action in (listing, retry, purge):
        action.add_argument("--queue", required=True, metavar="NAME")
    for action in (retry, purge):
        action.add_argument("--id", type=int, action="append", help="only this job; again for more")


def run_list(arguments: argparse.Namespace) -> int:
    """Show dead letters."""
    if arguments.most < 1:
        raise InvalidSetting("--most must be 1 or more")
    dead = ask(lambda store: store.dead_list(arguments.queue, arguments.most))
    if arguments.json:
        print(to_json([_fields(job) for job in dead]))
    elif dead:
        print(table([("ID", "TASK", "ERROR", "ATTEMPT", "CRASHES", "AGE"), *map(_row, dead)]))
    else:
        print(f"no dead letters in {arguments.queue}")
    return 0


def run_retry(arguments: argparse.Namespace) -> int:
    """Make dead letters ready again."""
    count = ask(lambda store: store.dead_retry(arguments.queue, arguments.id))
    print(f"{count} dead letters of {arguments.queue} are ready again")
    return 0


def run_purge(arguments: argparse.Namespace) -> int:
    """Delete dead letters; only with a yes."""
    if not arguments.yes:
        count = len(arguments.id) if arguments.id else _count(arguments.queue)
        raise InvalidSetting(
            f"this would delete {count} dead letters of {arguments.queue} for good; add --yes"
        )
    count = ask(lambda store: store.dead_purge(arguments.queue, arguments.id))
    print(f"{count} dead letters of {arguments.queue} were deleted")
    return 0


def _count(queue: str) -> int:
    return sum(row.dead for row in ask(lambda store: store.lag([queue])))


def _row(job: DeadJob) -> tuple[object, ...]:
    error = " ".join(job.error.split())
    shown = error if len(error) <= ERROR_WIDTH else f"{error[: ERROR_WIDTH - 1]}…"
    return (job.id, job.task, shown, job.attempt, job.crash_count, f"{job.died_age_s:.0f}s")


def _fields(job: DeadJob) -> dict[str, object]:
    return {
        "id": job.id,
        "queue": job.queue,
        "task": job.task,
        "attempt": job.attempt,
        "crash_count": job.crash_count,
        "died_age_s": job.died_age_s,
        "error": job.error,
        "args": job.args.decode(),
    }
