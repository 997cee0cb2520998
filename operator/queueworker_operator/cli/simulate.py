"""`queueworker-operator simulate`: what policies would have done with a trace."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from queueworker_operator.cli.output import add_output, print_document
from queueworker_operator.errors import InvalidSettings
from queueworker_operator.simulate.compare import compare
from queueworker_operator.simulate.draw import draw
from queueworker_operator.simulate.manifest import Manifest, read_manifest
from queueworker_operator.simulate.model import START_UPS, Conditions, Lognormal
from queueworker_operator.simulate.policies import POLICIES, Case, check
from queueworker_operator.simulate.result import Outcome
from queueworker_operator.simulate.table import table_of
from queueworker_operator.simulate.trace import TraceOptions, read_workload
from queueworker_operator.text import counted

DEFAULT_SLOTS = 4
WIDTH = 120
EPILOG = """\
the trace is a CSV with a header:
  t_s,arrivals             jobs from t_s up to the next row's, spread as a Poisson stream
  t_s,arrivals,service_s   jobs at t_s, each running for service_s seconds
  further columns          announced (1: scheduled, known beforehand), priority (0 to 9)

policies: dbc (QueueWorker's own), keda (its documented Postgres example, defaults), keda-tuned
(poll 1 s, windows of 60 s, no limit on scale-out), keda-two (tuned, with a second trigger on the
arrival rate), kpa (Knative), clairvoyant (a plan made with the future known)

example:
  queueworker-operator simulate --trace arrivals.csv --manifest queueworker.yaml --plot run.svg
"""


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describe the command and its flags."""
    parser = commands.add_parser(
        "simulate",
        help="replay a trace against this controller and others: lateness and cost",
        description="Simulates each job of a trace, with workers sized by this controller and by "
        "others, and shows who was late and what it cost. Needs no database and no cluster.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        required=True,
        metavar="QUEUEWORKER.yaml",
        help="promise and bounds; with its Deployment in the same file, slots and grace too",
    )
    add_flags(parser)
    parser.set_defaults(run=run)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Describe the trace, the policies, and how to print."""
    parser.add_argument(
        "--trace", type=Path, required=True, metavar="FILE.csv", help="the arrivals"
    )
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="NAME",
        help=f"{', '.join(POLICIES)}, or a file with a QueueWorker or a KEDA ScaledObject; may be "
        "given again (default: all that have a name)",
    )
    _add_jobs(parser)
    _add_pods(parser)
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of all chance (1)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures as JSON")
    parser.add_argument(
        "--plot", type=Path, metavar="OUT.svg", help="draw waits, pods, and cost against lateness"
    )
    add_output(parser)


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("jobs")
    group.add_argument(
        "--service-s", type=positive, default=2.0, metavar="S", help="mean time of a job (2)"
    )
    group.add_argument(
        "--service-cv",
        type=not_negative,
        default=1.0,
        metavar="CV",
        help="its standard deviation over its mean, lognormal; 0: all alike (1)",
    )
    group.add_argument(
        "--size-column", metavar="NAME", help="read each job's time from this column instead"
    )
    group.add_argument(
        "--size-scale", type=positive, default=1.0, metavar="X", help="seconds a unit of it (1)"
    )
    group.add_argument(
        "--starts-at",
        type=instant_s,
        metavar="TIME",
        help="when the trace begins (2026-03-02T07:30+01:00; UTC without an offset): the schedule "
        "of a QueueWorker needs it; other policies have none",
    )
    group.add_argument(
        "--hours", type=positive, metavar="H", help="only the first H hours of the trace"
    )


def _add_pods(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("pods")
    group.add_argument(
        "--start-up",
        choices=tuple(START_UPS),
        default="typical",
        help="from creation to ready, lognormal: about 5, 15 or 40 s (typical)",
    )
    group.add_argument(
        "--slots",
        type=int,
        metavar="N",
        help=f"jobs at once in a pod (as the manifest says, else {DEFAULT_SLOTS})",
    )


def instant_s(text: str) -> float:
    """Read a time; give its seconds since the epoch."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        remedy = "write 2026-03-02T07:30+01:00"
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no time: {remedy}") from exc
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def positive(text: str) -> float:
    """Read a number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def not_negative(text: str) -> float:
    """Read a number from 0."""
    return 0.0 if float(text) == 0 else positive(text)


def run(arguments: argparse.Namespace) -> int:
    """Simulate, write what was asked for, and print the table."""
    names = names_of(arguments.policy)
    for file in (arguments.json, arguments.plot):
        if file is not None and not file.absolute().parent.is_dir():
            raise InvalidSettings(f"{file} cannot be written: create {file.absolute().parent}")
    case = case_of(arguments)
    console = Console(width=None if Console().is_terminal else WIDTH)
    outcomes = simulated(case, names, console)
    story = story_of(case, arguments.start_up)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(to_json(outcomes), indent=2) + "\n")
    if arguments.plot is not None:
        title, promise_s = arguments.trace.name, case.conditions.promise_s
        picture = draw(outcomes, title=title, subtitle=story, promise_s=promise_s)
        arguments.plot.write_text(picture)
    if arguments.output != "table":
        print_document(to_json(outcomes), arguments.output)
        return 0
    console.print(story, highlight=False)
    console.print(table_of(outcomes))
    return 0


def story_of(case: Case, start_up: str) -> str:
    """Say in a line what was simulated."""
    conditions, policy = case.conditions, case.policy
    return (
        f"{counted(len(case.workload.at_s), 'job')} in {case.workload.lasts_s / 3600:.1f} hours, promise "
        f"{conditions.promise_s:g} s, {policy.min_replicas} to {counted(policy.max_replicas, 'pod')} of "
        f"{counted(conditions.slots, 'slot')}, start-up {start_up} ({conditions.start_up.mean_s:g} s)"
    )


def names_of(given: Sequence[str]) -> list[str]:
    """Check the names of the policies; none means all."""
    return [check(name) for name in dict.fromkeys(given)] or list(POLICIES)


def case_of(arguments: argparse.Namespace) -> Case:
    """Read the manifest and the trace."""
    manifest = read_manifest(arguments.manifest)
    slots = slots_of(arguments, manifest)
    options = TraceOptions(
        service=Lognormal(mean_s=arguments.service_s, cv=arguments.service_cv),
        size_column=arguments.size_column,
        size_scale=arguments.size_scale,
        hours=arguments.hours,
        seed=arguments.seed,
    )
    return Case(
        policy=replace(manifest.policy, default_slots=slots, slots_per_pod=None),
        workload=read_workload(arguments.trace, options),
        conditions=Conditions(
            promise_s=manifest.policy.start_within_s,
            slots=slots,
            start_up=START_UPS[arguments.start_up],
            grace_s=manifest.grace_s,
            pods=manifest.policy.min_replicas,
            seed=arguments.seed,
        ),
        starts_at_s=arguments.starts_at,
    )


def slots_of(arguments: argparse.Namespace, manifest: Manifest) -> int:
    """Give the slots of a pod: the flag, the manifest, or the default."""
    slots = arguments.slots if arguments.slots is not None else manifest.slots or DEFAULT_SLOTS
    if slots < 1:
        raise InvalidSettings(f"--slots is {slots}: give 1 or more")
    return int(slots)


def simulated(case: Case, names: Sequence[str], console: Console) -> list[Outcome]:
    """Run the policies; on a terminal a line tells how far they are."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        line = bar.add_task("", total=len(names))

        def tell(name: str, share: float) -> None:
            bar.update(line, description=name, completed=names.index(name) + share)

        return compare(case, names, tell)


def to_json(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Give the figures by policy."""
    return {outcome.policy: outcome.to_json() for outcome in outcomes}
