"""From the rows of a trace to the jobs of a workload."""

import math
import random
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from queueworker_operator.errors import InvalidSettings
from queueworker_operator.simulate.model import Lognormal, Workload
from queueworker_operator.traces import COUNT_COLUMN, TIME_COLUMN, read_rows

SIZE_COLUMN = "service_s"
ANNOUNCED_COLUMN = "announced"
PRIORITY_COLUMN = "priority"
MOST_JOBS = 50_000_000
LAST_EVENT_LASTS_S = 60.0
SMALLEST_SIZE_S = 1e-3
PRIORITIES = (0, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """How to read a trace. Without a size column, sizes are drawn from `service`.

    `hours` cuts the trace; None takes all of it.
    """

    service: Lognormal
    size_column: str | None = None
    size_scale: float = 1.0
    hours: float | None = None
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: `jobs` that come within `step_s` from `at_s`, or at once where sizes are given."""

    at_s: float
    step_s: float
    jobs: int
    size_s: float | None
    announced: int
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the file, and what to say about it."""

    file: Path
    number: int
    cells: Mapping[str, str]

    def refused(self, why: str) -> InvalidSettings:
        """Name the line and what is wrong with it."""
        return InvalidSettings(f"{self.file}: row {self.number} {why}")

    def number_in(self, column: str) -> float:
        """Read a number."""
        text = self.cells.get(column) or ""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.refused(f"has {column} {text!r}: give a number")
        return value

    def size_in(self, column: str, scale: float) -> float:
        """Read a job's size."""
        size_s = self.number_in(column) * scale
        if size_s < 0:
            raise self.refused(f"has a {column} below 0: remove the row")
        return max(size_s, SMALLEST_SIZE_S)

    def whole_in(self, column: str, bounds: tuple[int, int], default: int) -> int:
        """Read a whole number; a file without the column means `default`."""
        if column not in self.cells:
            return default
        value = self.number_in(column)
        if value != int(value) or not bounds[0] <= value <= bounds[1]:
            limits = f"{bounds[0]} to {bounds[1]}"
            raise self.refused(
                f"has {column} {self.cells[column]!r}: give a whole number, {limits}"
            )
        return int(value)


def read_workload(file: Path, options: TraceOptions) -> Workload:
    """Read the jobs of `file`.

    A row is a bucket up to the next row's time, its jobs are spread in it as a Poisson stream
    would be. With a column of sizes each row is an event at its time.

    Raises:
        InvalidSettings: names the row, what is wrong with it, and what to do.
    """
    rows = _rows(file, options)
    if sum(row.jobs for row in rows) > MOST_JOBS:
        raise InvalidSettings(f"{file} has more than {MOST_JOBS:,} jobs: cut it with --hours")
    if not any(row.jobs for row in rows):
        raise InvalidSettings(f"{file} has no arrivals: nothing to simulate")
    rng = random.Random(options.seed)  # noqa: S311 - a simulation
    jobs = sorted(job for row in rows for job in _jobs(row, options, rng))
    return Workload(
        at_s=array("d", [job[0] for job in jobs]),
        size_s=array("d", [job[1] for job in jobs]),
        lasts_s=rows[-1].at_s + rows[-1].step_s,
        announced=_flags([job[2] for job in jobs]),
        priority=_flags([job[3] for job in jobs]),
    )


def _flags(values: list[int]) -> bytes:
    return bytes(values) if any(values) else b""


def _jobs(
    row: Row, options: TraceOptions, rng: random.Random
) -> list[tuple[float, float, int, int]]:
    spread_s = 0.0 if row.size_s is not None else row.step_s
    return [
        (
            row.at_s + spread_s * rng.random(),
            options.service.draw(rng) if row.size_s is None else row.size_s,
            row.announced,
            row.priority,
        )
        for _ in range(row.jobs)
    ]


def _rows(file: Path, options: TraceOptions) -> list[Row]:
    given = read_rows(file)
    column = options.size_column or (SIZE_COLUMN if SIZE_COLUMN in given[0] else None)
    if column is not None and column not in given[0]:
        names = ", ".join(name for name in given[0] if name)
        raise InvalidSettings(f"{file} has no column {column}: it has {names}")
    lines = [Line(file=file, number=number, cells=cells) for number, cells in enumerate(given, 1)]
    times_s = [line.number_in(TIME_COLUMN) for line in lines]
    for line, (earlier_s, later_s) in zip(lines[1:], pairwise(times_s), strict=True):
        if later_s < earlier_s:
            raise line.refused("is earlier than the one before: sort the rows")
    steps_s = _steps_s(times_s, events=column is not None)
    until_s = 3600 * options.hours if options.hours else math.inf
    scale = options.size_scale if options.size_column else 1.0
    return [
        Row(
            at_s=at_s - times_s[0],
            step_s=step_s,
            jobs=line.whole_in(COUNT_COLUMN, (0, MOST_JOBS), 1),
            size_s=None if column is None else line.size_in(column, scale),
            announced=line.whole_in(ANNOUNCED_COLUMN, (0, 1), 0),
            priority=line.whole_in(PRIORITY_COLUMN, PRIORITIES, 0),
        )
        for line, at_s, step_s in zip(lines, times_s, steps_s, strict=True)
        if at_s - times_s[0] < until_s
    ]


def _steps_s(times_s: list[float], *, events: bool) -> list[float]:
    """Give how long each row holds: up to the next later time; the last one as long as that before.

    Rows of one time share their bucket: jobs that were announced, and others.
    """
    later_s = [*dict.fromkeys(times_s)]
    lasts_s = [after - before for before, after in pairwise(later_s)]
    last_s = LAST_EVENT_LASTS_S if events or not lasts_s else lasts_s[-1]
    step_s = dict(zip(later_s, [*lasts_s, last_s], strict=True))
    return [step_s[at_s] for at_s in times_s]
