"""The documentation page: tables and plots made from the JSON files in `results/`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import plot, simulated
from benchmarks.keda import page as keda
from benchmarks.machine import ROOT
from benchmarks.result import told_load
from benchmarks.scenarios import SCENARIOS
from benchmarks.systems import OURS
from benchmarks.table import figure, markdown, names_of, ratio

RESULTS = Path(__file__).parent / "results"
PAGE = Path("docs/explanation/benchmarks.md")
IMAGES = Path("docs/images")
QUOTABLE_LOAD = 0.10
BARS = {"drain": ("jobs_per_s", "jobs/s"), "enqueue": ("jobs_per_s", "jobs/s")}
HEAD = """\
<!-- Made by `python -m benchmarks page` from benchmarks/results/*.json. -->
# Benchmarks
`make bench` prints the short table, `make bench-drain JSON=FILE` the drain alone; `make bench-full` measures all and writes this page.
A figure on it comes from a file in `benchmarks/results`, with its versions, machine and commit.

**How it is measured.** One Postgres with the same settings for all, durable (`fsync`, `synchronous_commit` and `full_page_writes` on), on a
unix socket. The product runs as users run it: `queueworker worker`, with leases, retries, metrics and fencing on. Each rival comes from
its package registry in an environment of its own, at its best known settings (and at its documented defaults, marked so); the same kind of
no-op handler; the same batch policy. The runs alternate between all systems; tables show medians. A job counts as done when
SQL, asked by another connection, finds it completed; each run then checks that as many handlers ran. CPU is that of the
workers and of all of Postgres, from `/proc`; WAL is that of enqueue and run together. *Foreign load* is the share of all cores that
other processes used meanwhile: above 10 % a figure is not to be quoted. Ratios hold better than rates: the machine's speed moves.
The operator's scenarios (`reaction`, `bulkhead`, `footprint`) run `queueworker-operator run` against a real API server (etcd and kube-apiserver
on loopback, built by `make tools`) and real databases, without pods.
"""
REST = """
## {title}
| command | measures |
|---|---|
{rows}
"""

Result = Mapping[str, Any]


def files(folder: Path = RESULTS) -> dict[Path, str]:
    """Give the page and its images, by their path in the repository."""
    results = {
        name: json.loads(path.read_text())
        for name in SCENARIOS
        if (path := folder / f"{name}.json").exists()
    }
    made = {IMAGES / f"bench-{name}.svg": image for name, image in _images(results)}
    parts = [HEAD]
    for name, measured in results.items():
        scenario = SCENARIOS[name]
        parts.append(
            f"\n## {name.capitalize()}\n{scenario.summary[0].upper()}{scenario.summary[1:]}.\n"
        )
        if IMAGES / f"bench-{name}.svg" in made:
            parts.append(f"\n![{scenario.summary}](../images/bench-{name}.svg)\n")
        parts.append(section(measured))
    parts.append(_rest([name for name in SCENARIOS if name not in results], bool(results)))
    made[PAGE] = "".join(parts)
    if (measured_with_keda := folder / "keda.json").exists():
        beside = json.loads(measured_with_keda.read_text())
        made[keda.PAGE] = keda.fill((ROOT / keda.PAGE).read_text(), beside)
    if (suite := folder / "simulate.json").exists():
        measured = json.loads(suite.read_text())
        made[simulated.PAGE] = simulated.fill((ROOT / simulated.PAGE).read_text(), measured)
    return made


def write(root: Path = ROOT) -> list[Path]:
    """Write the page and its images; give their paths."""
    made = files()
    for path, text in made.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return list(made)


def stale(root: Path = ROOT) -> list[Path]:
    """Give the files that are not what the results say."""
    return [
        path
        for path, text in files().items()
        if not (root / path).exists() or (root / path).read_text() != text
    ]


def section(result: Result) -> str:
    """Give one scenario's table, its settings, and where it was measured."""
    rows: Sequence[Mapping[str, Any]] = result["rows"]
    names = names_of(rows)
    head = ["system", "processes", "variant", *names, "ours / it"]
    used = [at for at, title in enumerate(head) if title != "variant" or rows[0]["variant"]]
    cells = [_cells(row, names, rows) for row in rows]
    table = markdown([head[at] for at in used], [[line[at] for at in used] for line in cells])
    return f"\n{table}\n{_settings(rows)}\n{_origin(result)}\n"


def _rest(names: Sequence[str], has_results: bool) -> str:
    """List what has no result file, with the command that writes one."""
    if not names:
        return ""
    rows = "\n".join(f"| `python -m benchmarks {n}` | {SCENARIOS[n].summary} |" for n in names)
    return REST.format(title="More to measure" if has_results else "What is measured", rows=rows)


def _cells(
    row: Mapping[str, Any], names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> list[str]:
    times = ratio(row, rows)
    tuning = "" if row["tuning"] == "best" else " (default)"
    failed = " (failed)" if row.get("errors") else ""
    return [
        f"{row['system']}{tuning}{failed}",
        str(row["processes"]),
        row["variant"],
        *[figure(row["median"].get(name)) for name in names],
        "" if times is None or row["system"] == OURS else f"{times:.2f}",
    ]


def _settings(rows: Sequence[Mapping[str, Any]]) -> str:
    known = {
        f"{row['system']} {row['version']}".strip()
        + (" (default)" if row["tuning"] != "best" else ""): row["settings"]
        for row in rows
    }
    return "\n".join(f"- {name}: `{settings}`" for name, settings in known.items()) + "\n"


def _origin(result: Result) -> str:
    machine, load = result["machine"], result["foreign_load"]
    warning = (
        ""
        if load is None or load <= QUOTABLE_LOAD
        else "; **the machine was busy: not to be quoted**"
    )
    return (
        f"Commit {result['commit']}, {result['at'][:10]}, {result['repeats']} alternating runs,"
        f" PostgreSQL {result['postgres']['version']}, Python {machine['python']},"
        f" {machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB;"
        f" {told_load(load)}{warning}."
    )


def _images(results: Mapping[str, Result]) -> list[tuple[str, str]]:
    images = []
    for name, (figure_name, unit) in BARS.items():
        if name in results:
            entries = [
                (_label(row), float(row["median"][figure_name]), row["system"] == OURS)
                for row in results[name]["rows"]
                if row["median"].get(figure_name)
            ]
            images.append((name, plot.bars(SCENARIOS[name].summary, entries, unit)))
    if "snapshot" in results:
        images.append(("snapshot", plot.lines(*_held(results["snapshot"]))))
    return images


def _held(result: Result) -> tuple[str, dict[str, plot.Points], str]:
    series: dict[str, plot.Points] = {
        f"{row['variant']}, {row['processes']} proc": [
            (mark["at_s"], 100 * mark["ratio"]) for mark in row["runs"][0]["series"]
        ]
        for row in result["rows"]
        if row["system"] == OURS and row["runs"]
    }
    return "rate beside an old transaction, against the control beside it", series, "%"


def _label(row: Mapping[str, Any]) -> str:
    tuning = "" if row["tuning"] == "best" else " (default)"
    where = row["variant"] or f"{row['processes']} proc"
    return f"{row['system']}{tuning}, {where}"
