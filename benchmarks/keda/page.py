"""The tables of docs/explanation/keda.md, made from results/keda.json.

Each stands on the page between `<!-- figures: NAME -->` and `<!-- end -->`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.table import markdown

PAGE = Path("docs/explanation/keda.md")
BLOCK = re.compile(r"(<!-- figures: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
SYSTEMS = {"queueworker": "QueueWorker", "keda, tuned": "KEDA tuned", "keda": "KEDA defaults"}

Results = Mapping[str, Any]


def fill(text: str, results: Results) -> str:
    """Give the page with every table as the results have it.

    Raises:
        KeyError: the page names a table that nobody makes, or the results lack a scenario.
    """
    return BLOCK.sub(lambda block: f"{block[1]}{TABLES[block[2]](results)}{block[3]}", text)


def reaction(results: Results) -> str:
    """Show how long 0 to 100 replicas took."""
    measured = results["reaction"]
    head = ["", "bursts", "first pod: median (range)", "full size: median (range)", "steps"]
    rows = [
        [
            name,
            str(measured[system]["bursts"]),
            _range(measured[system]["first_pod_s"]),
            _range(measured[system]["full_size_s"]),
            ", ".join(map(str, measured[system]["steps"])),
        ]
        for system, name in SYSTEMS.items()
    ]
    return markdown(head, rows) + _origin(measured)


def trace(results: Results) -> str:
    """Show late jobs and pod-hours, by the start-up time of the pods."""
    head = [
        "pods Ready after",
        "",
        "late jobs",
        "wait p50 / p99",
        "pod-hours",
        "pods started",
        "jobs interrupted",
    ]
    rows = [
        _trace_row(run, system, name)
        for run in _traces(results)
        for system, name in SYSTEMS.items()
    ]
    return markdown(head, rows) + "".join(_origin(run) for run in _traces(results))


def agreement(results: Results) -> str:
    """Show how well the simulated KEDA follows the real one."""
    head = ["pods Ready after", "", "seconds", "within one replica", "equal"]
    rows = [
        [
            f"{run['start_up_s']:g} s",
            SYSTEMS[system],
            str(run["agreement"][system]["seconds"]),
            f"{run['agreement'][system]['within_one_percent']:g} %",
            f"{run['agreement'][system]['equal_percent']:g} %",
        ]
        for run in _traces(results)
        for system in ("keda, tuned", "keda")
    ]
    return markdown(head, rows)


def scale_in(results: Results) -> str:
    """Show whose pods were taken."""
    measured = results["scale-in"]
    rows = [
        [
            "pods removed, in steps down",
            f"{measured['pods_removed']:,} in {measured['steps_down']}",
        ],
        ["jobs", f"{measured['jobs']:,}"],
        ["pods that ran a job when they were told to end", str(measured["busy"])],
        [
            "of them while another pod was idle and stayed",
            f"**{measured['busy_while_another_was_idle']}**",
        ],
        ["jobs interrupted", f"**{measured['jobs_interrupted']}**"],
    ]
    return markdown(["", ""], rows) + _origin(measured)


def crash(results: Results) -> str:
    """Show how soon the job of a killed worker runs again."""
    measured = results["crash"]
    waits = measured["start_elsewhere"]
    row = [
        str(measured["kills"]),
        *[f"{waits[name] / 1000:.2f}" for name in ("p50_ms", "p99_ms", "max_ms")],
    ]
    return markdown(["kills", "median, s", "p99, s", "longest, s"], [row]) + _origin(measured)


TABLES: Mapping[str, Callable[[Results], str]] = {
    "reaction": reaction,
    "trace": trace,
    "agreement": agreement,
    "scale-in": scale_in,
    "crash": crash,
}


def _traces(results: Results) -> list[Any]:
    runs = [run for name, run in results.items() if name.startswith("trace")]
    return sorted(runs, key=lambda run: float(run["start_up_s"]))


def _trace_row(run: Any, system: str, name: str) -> list[str]:
    measured = run[system]
    return [
        f"{run['start_up_s']:g} s",
        name,
        f"{measured['late_percent']:g} % of {measured['jobs']:,}",
        f"{measured['wait_p50_s']:.1f} / {measured['wait_p99_s']:.1f} s",
        f"{measured['pod_hours']:.2f}",
        str(measured["pods_started"]),
        str(measured["interrupted"]),
    ]


def _range(times: Mapping[str, float]) -> str:
    return f"{times['p50']:.3g} s ({times['least']:.2g} to {times['most']:.3g})"


def _origin(measured: Any) -> str:
    minutes = measured["seconds"] / 60
    return f"\nCommit {measured['commit']}, {measured['at'][:10]}, {minutes:.0f} minutes.\n"
