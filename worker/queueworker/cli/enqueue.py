"""`queueworker enqueue`."""

import argparse
import json
import math
import sys
from typing import Any

import psycopg

from queueworker.cli.command import Commands, add_command
from queueworker.enqueue import enqueue_many_sync, enqueue_sync
from queueworker.errors import DuplicateJob, InvalidSetting
from queueworker.job import POLICIES, Job
from queueworker.settings import Settings
from queueworker.store import connect_sync
from queueworker.text import counted


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "enqueue",
        "enqueue a job, or many alike in one transaction",
        """queueworker enqueue --queue mail --task send_mail --args '{"to": "a@example.org"}'""",
    )
    parser.add_argument("--queue", required=True, metavar="NAME")
    parser.add_argument("--task", required=True, metavar="NAME", help="as a worker registers it")
    parser.add_argument("--args", default="{}", metavar="JSON", help="an object: argument names")
    parser.add_argument(
        "--priority", type=int, default=0, metavar="0-9", help="higher first; 0 by default"
    )
    parser.add_argument("--delay", type=float, metavar="SECONDS", help="ready this much later")
    parser.add_argument(
        "--unique-key", metavar="KEY", help="one such job waits or runs in the queue"
    )
    parser.add_argument(
        "--on-duplicate",
        choices=POLICIES,
        default="keep",
        help="where the key is taken: keep that job (the default), reject this one, replace that while"
        " it waits",
    )
    parser.add_argument(
        "--max-attempts",
        type=int,
        default=5,
        metavar="N",
        help="attempts, 5 by default (the task's own setting is not known here)",
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="of one attempt; no limit by default"
    )
    parser.add_argument(
        "--count", type=int, default=1, metavar="N", help="so many alike; 1 by default"
    )
    parser.set_defaults(run=run, role="queueworker_enqueue")


def run(arguments: argparse.Namespace) -> int:
    """Enqueue; print the id, or how many."""
    _check(arguments)
    job = Job(
        task=arguments.task,
        queue=arguments.queue,
        args=_object(arguments.args),
        priority=arguments.priority,
        max_attempts=arguments.max_attempts,
        timeout_s=arguments.timeout,
        delay_s=arguments.delay,
        unique_key=arguments.unique_key,
        on_duplicate=arguments.on_duplicate,
    )
    dsn = Settings.from_env().required_dsn
    with connect_sync(dsn, application_name="queueworker enqueue") as conn:
        if arguments.count == 1:
            return _enqueue_one(conn, job)
        enqueue_many_sync(conn, [job] * arguments.count)
        print(counted(arguments.count, "job"))
    return 0


def _enqueue_one(conn: psycopg.Connection[Any], job: Job) -> int:
    """Print the id; where the unique key is taken, name its holder on standard error."""
    job_id = None
    try:
        if job.unique_key is None or job.on_duplicate == "replace":
            job_id = enqueue_sync(conn, job)
        if job_id is None:  # rejection alone tells who has the key
            job_id = enqueue_sync(conn, job.using(on_duplicate="reject"))
    except DuplicateJob as exc:
        remedy = "" if job.on_duplicate != "reject" else "; see --on-duplicate keep and replace"
        sys.stderr.write(
            f"queueworker: nothing was enqueued: job {exc.job_id} of queue {exc.queue!r} has the"
            f" unique key {exc.unique_key!r}{remedy}\n"
        )
        return 1 if remedy else 0
    print(job_id)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    delay_s = arguments.delay
    if delay_s is not None and not 0 <= delay_s < math.inf:
        raise InvalidSetting("--delay must be 0 or more seconds")
    if arguments.count < 1:
        raise InvalidSetting("--count must be 1 or more")
    if arguments.unique_key == "":
        raise InvalidSetting("--unique-key is empty; give a text, or leave it away")
    if arguments.count > 1 and arguments.unique_key is not None:
        raise InvalidSetting("--unique-key names one job; leave --count away")


def _object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as exc:
        raise InvalidSetting(f"--args is not JSON ({exc}); quote it for the shell") from None
    if not isinstance(value, dict):
        raise InvalidSetting("--args must be a JSON object of argument names and values")
    return value


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse what would silently lose a value."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object has a name twice")
    return value
