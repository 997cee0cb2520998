"""A result as a table for the terminal, with our ratio to each rival."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.result import told_load
from benchmarks.systems import OURS

Rows = Sequence[Mapping[str, Any]]
HIDDEN = {"jobs", "seconds"}


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Give a table of a page."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def table(result: Mapping[str, Any]) -> str:
    """Give the result as aligned text."""
    rows: Rows = result["rows"]
    names = names_of(rows)
    head = ["system", "tuning", "procs", "variant", *names, "ours / it"]
    lines = [head, *[_line(row, names, rows) for row in rows]]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    texts = [
        "  ".join(
            cell.ljust(width) if at < len(head) - len(names) - 1 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    note = (
        f"{result['scenario']}: medians of {result['repeats']} alternating runs, commit"
        f" {result['commit']}, {told_load(result['foreign_load'])}"
    )
    return "\n".join([note, *texts])


def names_of(rows: Rows) -> list[str]:
    """Give the names of the figures that a table shows."""
    known = dict.fromkeys(name for row in rows for name in row["median"])
    return [name for name in known if name not in HIDDEN]


def ratio(row: Mapping[str, Any], rows: Rows) -> float | None:
    """Give our rate over this row's, of the same variant and processes; None without both."""
    same = [
        other
        for other in rows
        if other["system"] == OURS
        and other["tuning"] == "best"
        and (other["processes"], other["variant"]) == (row["processes"], row["variant"])
    ]
    ours = same[0]["median"].get("jobs_per_s") if same else None
    theirs = row["median"].get("jobs_per_s")
    return ours / theirs if ours and theirs else None


def _line(row: Mapping[str, Any], names: Sequence[str], rows: Rows) -> list[str]:
    times = ratio(row, rows)
    figures = [figure(row["median"].get(name)) for name in names]
    mark = " !" if row.get("errors") else ""
    return [
        row["system"] + mark,
        row["tuning"],
        str(row["processes"]),
        row["variant"],
        *figures,
        "" if times is None else f"{times:.2f}x",
    ]


def figure(value: float | None) -> str:
    """Give three or four digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"  # noqa: PLR2004  # three digits
