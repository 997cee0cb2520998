"""Run one scenario: alternate between its cases, repeat, keep what is measured."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks import machine
from benchmarks.cpu import machine_busy_s
from benchmarks.errors import BenchmarkError, MachineBusy
from benchmarks.journal import Journal
from benchmarks.result import Row, row_of, worst_foreign_load
from benchmarks.scenario import Options, Sample, Scenario
from benchmarks.server import SETTINGS, server_version
from benchmarks.systems import System

WATCH_S = 0.3
MOST_FOREIGN_LOAD = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A scenario, what takes part in it, and how often."""

    scenario: Scenario
    systems: Sequence[System]
    options: Options
    repeats: int
    is_strict: bool = False


def execute(plan: Plan, journal: Journal) -> dict[str, object]:
    """Measure every case `repeats` times, alternating; give the result."""
    scenario, begun_s = plan.scenario, time.monotonic()
    cases = scenario.cases(plan.systems, plan.options)
    samples: dict[int, list[Sample]] = {place: [] for place in range(len(cases))}
    failures: dict[int, list[str]] = {place: [] for place in range(len(cases))}
    with ExitStack() as stack:
        server = stack.enter_context(scenario.opened(plan.options))
        version = server_version(server)
        for repeat in range(plan.repeats):
            for place, case in enumerate(cases):
                known = journal.get(case, repeat)
                where = f"[{repeat * len(cases) + place + 1}/{plan.repeats * len(cases)}]"
                if known is not None:
                    _say(f"{where} {case.label}: kept from the run before")
                    samples[place].append(known)
                    continue
                _check_load(plan.is_strict)
                try:
                    sample = scenario.measure(server, case, plan.options)
                except BenchmarkError as error:
                    failures[place].append(str(error))
                    _say(f"{where} {case.label}: FAILED: {error}")
                    continue
                samples[place].append(sample)
                journal.add(case, repeat, sample)
                _say(f"{where} {case.label}: {_brief(sample)}")
    rows = [row_of(case, samples[at], failures[at]) for at, case in enumerate(cases)]
    return _result(plan, rows, version, time.monotonic() - begun_s)


def _result(plan: Plan, rows: list[Row], postgres: str, seconds: float) -> dict[str, object]:
    return {
        "scenario": plan.scenario.name,
        "rows": rows,
        "foreign_load": worst_foreign_load(rows),
        "repeats": plan.repeats,
        "commit": machine.commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds),
        "machine": machine.machine(),
        "postgres": {"version": postgres, "settings": SETTINGS},
    }


def _check_load(is_strict: bool) -> None:
    """Warn of, or refuse, other users of the machine."""
    before_s, begun_s = machine_busy_s(), time.monotonic()
    time.sleep(WATCH_S)
    cores_s = (time.monotonic() - begun_s) * int(str(machine.machine()["cores"]))
    load = (machine_busy_s() - before_s) / cores_s
    if load <= MOST_FOREIGN_LOAD:
        return
    text = f"other processes use {load:.0%} of the cores; stop them for figures to quote"
    if is_strict:
        raise MachineBusy(f"{text} (--strict)")
    _say(f"  warning: {text}")


def _brief(sample: Sample) -> str:
    shown = {
        name: value
        for name, value in sample.items()
        if isinstance(value, int | float) and name not in {"jobs", "seconds"}
    }
    return ", ".join(f"{name} {value:,g}" for name, value in list(shown.items())[:7])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
