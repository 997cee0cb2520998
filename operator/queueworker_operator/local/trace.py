"""Arrivals to replay: a CSV of times and sizes, and the few settings that go with it."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from queueworker_operator.errors import InvalidSettings
from queueworker_operator.traces import COUNT_COLUMN, TIME_COLUMN, read_rows

SETTINGS_FILE = "replay.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """Which trace becomes which jobs. `time_scale` 0.2 replays five times faster."""

    trace: Path | None = None
    time_scale: float = 1.0
    task: str | None = None
    queue: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One job: when it is enqueued, in seconds of the replay, and its arguments."""

    at_s: float
    arguments: Mapping[str, int | float] = field(default_factory=dict)


def read_settings(folder: Path) -> ReplaySettings:
    """Read `replay.toml` of `folder`; without one nothing is replayed.

    Raises:
        InvalidSettings: the file or one of its values cannot be used.
    """
    file = folder / SETTINGS_FILE
    if not file.exists():
        return ReplaySettings()
    try:
        given = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InvalidSettings(f"{file} is not readable as TOML: {exc}") from exc
    unknown = set(given) - {"trace", "time_scale", "task", "queue"}
    if unknown:
        raise InvalidSettings(f"{file} has no setting {min(unknown)!r}: remove it")
    try:
        return ReplaySettings(
            trace=folder / given["trace"] if "trace" in given else None,
            time_scale=float(given.get("time_scale", 1.0)),
            task=given.get("task"),
            queue=given.get("queue"),
        )
    except (TypeError, ValueError) as exc:
        raise InvalidSettings(f"{file}: {exc}: mend the value") from exc


def read_trace(file: Path, time_scale: float) -> tuple[Arrival, ...]:
    """Read arrivals: columns `t_s` and `arrivals`; any further column is a number, an argument of the task.

    A row of several arrivals is a bucket: they are spread evenly up to the next row's time.

    Raises:
        InvalidSettings: the file or a row of it cannot be read.
    """
    if not time_scale > 0:
        raise InvalidSettings(f"the time scale is {time_scale:g}: give a number above 0")
    rows = read_rows(file)
    try:
        return tuple(_arrivals(rows, time_scale))
    except (AttributeError, TypeError, ValueError) as exc:
        raise InvalidSettings(f"{file} has a row that is no number: {exc}") from exc


def _arrivals(rows: list[dict[str, str]], time_scale: float) -> Iterator[Arrival]:
    first_s = float(rows[0][TIME_COLUMN])
    times_s = [(float(row[TIME_COLUMN]) - first_s) * time_scale for row in rows]
    steps_s = [later - earlier for earlier, later in pairwise([*times_s, times_s[-1]])]
    for row, at_s, step_s in zip(rows, times_s, steps_s, strict=True):
        count = int(row.get(COUNT_COLUMN, 1))
        arguments = {
            name: _number(value)
            for name, value in row.items()
            if name not in {TIME_COLUMN, COUNT_COLUMN}
        }
        for index in range(count):
            yield Arrival(at_s=at_s + step_s * index / count, arguments=arguments)


def _number(text: str) -> int | float:
    return int(text) if text.isdecimal() else float(text)
