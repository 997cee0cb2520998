"""`python -m tests.scenarios`: every workload, and the goals with our figure in each row.

`make simulate-suite JSON=FILE` runs it; `--hours 0.5` makes it short, `--processes 1` gentle.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.scenarios.catalogue import ALL, Part, Scenario
from tests.scenarios.goals import Row, rows_of
from tests.scenarios.measure import (
    PATIENT,
    SETTINGS,
    SETTINGS_BY_NAME,
    Measured,
    Setting,
    Task,
    joined,
    measure,
)
from tests.scenarios.progress import Kept, run

KEPT = Path(".cache/scenarios.jsonl")


def tasks(hours: float) -> Iterator[Task]:
    """Give every scenario at the settings that its goals speak of, ours first, then by setting."""
    order = list(SETTINGS_BY_NAME)
    yield from sorted(
        all_tasks(hours), key=lambda task: (task.rivals, order.index(task.setting.name))
    )


def all_tasks(hours: float) -> Iterator[Task]:
    for scenario in ALL:
        judged = scenario.kind == "ordinary" and scenario.part is Part.JUDGE
        for setting in settings_of(scenario):
            for rivals in (True, False) if judged or scenario.kind == "long" else (False,):
                yield Task(
                    scenario=scenario.name,
                    setting=setting,
                    rivals=rivals,
                    hours=scenario.hours or (2.0 if needs_two_hours(scenario) else hours),
                )


def needs_two_hours(scenario: Scenario) -> bool:
    return scenario.kind in {"saturated", "external", "honest", "silent", "no-start", "fault"}


def settings_of(scenario: Scenario) -> Sequence[Setting]:
    if scenario.kind == "ordinary":
        return SETTINGS
    if scenario.kind == "long":
        return (SETTINGS[0], PATIENT)
    if scenario.kind in {"announced", "untold"}:
        return (SETTINGS[1],)
    return (SETTINGS[0],)


def shown(rows: Sequence[Row], console: Console) -> None:
    """Print the goals."""
    table = Table(box=None, pad_edge=False)
    for heading in ("GOAL", "PROMISE", "BOUND", "HERE", ""):
        table.add_column(heading, overflow="fold")
    words = {True: "met", False: "missed", None: ""}
    for row in rows:
        table.add_row(row.goal, row.setting, row.bound, row.figure, words[row.met])
    console.print(table, highlight=False)


def each(measured: Sequence[Measured], console: Console) -> None:
    """Print ours by workload."""
    table = Table(box=None, pad_edge=False)
    for heading in ("WORKLOAD", "SET", "PROMISE", "LATE %", "COST X", "EVENTS/H", "TAKEN BACK/H"):
        table.add_column(heading)
    parts = {scenario.name: scenario.part.value for scenario in ALL}
    for one in measured:
        ours = one.figures["dbc"]
        table.add_row(
            one.task.scenario,
            parts[one.task.scenario],
            one.task.setting.name,
            f"{100 * ours.late_fraction:.2f}",
            f"{ours.cost_ratio:.2f}",
            f"{ours.scale_events_per_hour:.0f}",
            f"{ours.reversals_per_hour:.0f}",
        )
    console.print(table, highlight=False)


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--hours", type=float, default=2.0, help="of the ordinary workloads (2)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--only", default="", metavar="NAMES", help="some workloads, by comma")
    parser.add_argument("--kept", type=Path, metavar="FILE", default=KEPT, help=f"what was measured so far ({KEPT})")  # fmt: skip
    parser.add_argument("--fresh", action="store_true", help="measure all again")
    given = parser.parse_args(arguments)
    names = [name for name in given.only.split(",") if name]
    todo = [task for task in tasks(given.hours) if not names or task.scenario in names]
    console = Console(width=None if sys.stdout.isatty() else 180)
    if given.fresh:
        given.kept.unlink(missing_ok=True)
    done = list(run(todo, Kept(path=given.kept), measure, given.processes))
    measured = joined(sorted(done, key=lambda one: todo.index(one.task)))
    rows = rows_of(measured)
    each(measured, console)
    console.print()
    shown(rows, console)
    if given.json is not None:
        found = [
            {
                "workload": one.task.scenario,
                "promise": one.task.setting.name,
                "figures": {name: asdict(figures) for name, figures in one.figures.items()},
            }
            for one in measured
        ]
        goals = [asdict(row) for row in rows]
        given.json.write_text(json.dumps({"goals": goals, "workloads": found}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
