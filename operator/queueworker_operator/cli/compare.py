"""`queueworker-operator compare`: a DryRun's time as it happened, and as it would have been."""

import argparse
import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from queueworker_operator.cli.dsn import dsn_of
from queueworker_operator.cli.key import add_key, key_of
from queueworker_operator.cli.output import add_output, print_document
from queueworker_operator.cli.worked import wrapped
from queueworker_operator.controller.record import recall
from queueworker_operator.decision.codec import InvalidRecord, decode
from queueworker_operator.decision.minutes import Minute
from queueworker_operator.decision.model import Mode
from queueworker_operator.errors import InvalidSettings
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.simulate.dry_run import Comparison, Known, comparable, compare
from queueworker_operator.text import counted

PURPOSE = "compare what happened beside a DryRun with what would have"
ABOUT = (
    "For a QueueWorker in mode DryRun beside an HPA, KEDA or a fixed size: late "
    "jobs and pod-hours as they were, and as they would have been under its decisions."
)
FEWEST = 2
MOST_JOBS = 3_000_000
# As many as the database keeps of one QueueWorker.
MOST_DECISIONS = 300


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describe the command and its flags."""
    parser = commands.add_parser("compare", help=PURPOSE, description=ABOUT)
    add_key(parser)
    add_flags(parser)
    parser.set_defaults(run=run)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Describe which time, and how to print."""
    parser.add_argument(
        "--hours", type=float, default=24.0, metavar="H", help="look back so far (24; 168 are kept)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the model's chance (1)")
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare and print."""
    key = key_of(arguments)
    return tell(arguments, dsn_of(arguments), key)


def tell(arguments: argparse.Namespace, dsn: str, key: str) -> int:
    """Print the comparison of `key` ("namespace/name") from what `dsn` holds."""
    if not arguments.hours > 0:
        raise InvalidSettings(f"--hours is {arguments.hours:g}: give a number above 0")
    since_s = time.time() - 3600 * arguments.hours
    try:
        minutes, known = asyncio.run(read(dsn, key, since_s))
    except InvalidRecord as exc:
        raise InvalidSettings(f"another version kept the minutes of {key}: {exc}") from exc
    if len(minutes) < FEWEST or known is None:
        raise InvalidSettings(
            f"no DryRun of {key} was seen in the last {arguments.hours:g} h: set spec.mode to "
            "DryRun and come back in three minutes (a change of startWithin begins anew)"
        )
    jobs = minutes[-1].enqueued_total - minutes[0].enqueued_total
    if jobs > MOST_JOBS:
        raise InvalidSettings(
            f"{counted(round(jobs), 'job')} take too long to replay: give fewer --hours"
        )
    found = compare(minutes, known, seed=arguments.seed)
    if arguments.output == "table":
        print("\n".join(lines(key, found)))
    else:
        print_document({"name": key, **asdict(found)}, arguments.output)
    return 0


async def read(dsn: str, key: str, since_s: float) -> tuple[list[Minute], Known | None]:
    """Read the minutes that belong together, and what the last decision of the dry run knew."""
    source = PostgresLag(dsn)
    try:
        records = await source.dry_run_minutes(key, since_s)
        decisions = await source.decisions(key, MOST_DECISIONS)
    finally:
        await source.close()
    minutes = comparable([decode(Minute, record) for record in records])
    for told in (recall(entry.record) for entry in decisions):
        # Since then it may have been paused, or scale by now.
        if told.policy.mode is Mode.DRY_RUN and told.decision.slots > 0:
            return minutes, Known(policy=told.policy, state=told.state, decision=told.decision)
    return minutes, None


def lines(key: str, found: Comparison) -> Iterator[str]:
    """Write the comparison for people, in 80 columns."""
    measured, modelled, ours = found.measured, found.modelled, found.ours
    minutes = (found.until_s - found.since_s) / 60
    yield f"{key}: {_time(found.since_s)} to {_time(found.until_s)} UTC ({minutes:.0f} min)"
    yield f"{counted(found.jobs, 'job')} came; promise: start within {found.promise_s:g}s\n"
    yield f"{'':<34}{'late jobs':>20}{'pod-hours':>12}"
    yield _row(
        "as it happened, measured", measured.late, measured.late_fraction, measured.pod_hours
    )
    late = modelled.late_fraction * found.jobs
    yield _row("as it happened, in the model", late, modelled.late_fraction, modelled.pod_hours)
    late = ours.late_fraction * found.jobs
    yield _row("with our decisions, in the model", late, ours.late_fraction, ours.pod_hours)
    yield ""
    yield wrapped(verdict(found))
    yield ""
    yield wrapped(method(found))


def _row(name: str, late: float, share: float, pod_hours: float) -> str:
    return f"{name:<34}{late:>10.0f} {100 * share:>7.2f} %{pod_hours:>12.3f}"


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def verdict(found: Comparison) -> str:
    """Say what the difference comes to, and when it is within the model's error."""
    measured, modelled, ours = found.measured, found.modelled, found.ours
    points = 100 * (ours.late_fraction - modelled.late_fraction)
    error = 100 * abs(modelled.late_fraction - measured.late_fraction)
    late = f"{abs(points):.2f} points {'fewer' if points <= 0 else 'more'} late jobs"
    if abs(points) <= error:
        late += f" (not more than the model's error of {error:.2f}: no difference is shown)"
    hours, off = ours.pod_hours - modelled.pod_hours, abs(modelled.pod_hours - measured.pod_hours)
    cost = f"{abs(hours):.3f} pod-hours {'less' if hours <= 0 else 'more'}"
    if abs(hours) <= off:
        cost += f" (not more than the model's error of {off:.3f}: no difference is shown)"
    return f"With our decisions: {late}, {cost}."


def method(found: Comparison) -> str:
    """Say how it was worked out, and what it rests on."""
    known = "measured" if found.start_up_known else "assumed: fewer than 3 were seen"
    unseen = f" {found.unseen_s:.0f} s were not seen." if found.unseen_s >= 1 else ""
    return (
        "Method: the arrivals as recorded, second by second, are replayed job by job, once with "
        "the replicas as they were and once with our decisions from a cold start; compare these "
        f"two. Job times are drawn (mean {found.service.mean_s:.3g}s, variation "
        f"{found.service.cv:.2g}), start-ups too (mean {found.start_up.mean_s:.3g}s, {known}), "
        f"{counted(found.slots, 'slot')} a pod. Measured pod-hours leave out pods after SIGTERM.{unseen}"
    )
