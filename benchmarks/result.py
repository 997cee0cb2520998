"""The result of a scenario as JSON: one row a case, every run kept."""

import statistics
from collections.abc import Sequence

from benchmarks.scenario import Case, Sample

ALWAYS = ("client_cpu_us", "server_cpu_us", "wal_bytes")
Row = dict[str, object]


def row_of(case: Case, samples: Sequence[Sample], failures: Sequence[str]) -> Row:
    """Give one row: `jobs_per_s` of all runs, medians of the rest, ranges, and the runs."""
    names = list(
        dict.fromkeys(
            name
            for sample in samples
            for name, value in sample.items()
            if isinstance(value, int | float)
        )
    )
    medians = {name: median_of(samples, name) for name in names}
    return {
        "system": case.system.name,
        "processes": case.processes,
        "variant": case.variant,
        "tuning": case.system.tuning.value,
        "settings": case.system.settings,
        "version": case.system.version,
        "jobs_per_s": [sample["jobs_per_s"] for sample in samples if "jobs_per_s" in sample],
        **{name: medians.get(name) for name in ALWAYS},
        "median": medians,
        "range": {name: range_of(samples, name) for name in names},
        "runs": list(samples),
        **({"errors": list(failures)} if failures else {}),
    }


def median_of(samples: Sequence[Sample], name: str) -> float | None:
    """Give the median of one figure, None when no run has it."""
    values = [sample[name] for sample in samples if name in sample]
    return round(statistics.median(values), 4) if values else None


def range_of(samples: Sequence[Sample], name: str) -> list[float]:
    """Give the least and the largest of one figure."""
    values = [sample[name] for sample in samples if name in sample]
    return [min(values), max(values)]


def worst_foreign_load(rows: Sequence[Row]) -> float | None:
    """Give the largest foreign load of any run; None where no run measured it."""
    loads = []
    for row in rows:
        runs = row["runs"]
        if isinstance(runs, list):
            loads += [run["foreign_load"] for run in runs if "foreign_load" in run]
    return max(loads, default=None)


def told_load(load: float | None) -> str:
    """Say how busy others kept the machine."""
    return "foreign load not measured" if load is None else f"foreign load up to {load:.0%}"
