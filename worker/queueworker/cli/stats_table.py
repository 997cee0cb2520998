"""The table of `queueworker stats`, as wide and as high as there is room. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence

from queueworker.cli.durations import span
from queueworker.cli.flow import Flow
from queueworker.store import LagRow
from queueworker.text import counted
from queueworker.unknown import unknown_tasks
from queueworker.waits import WAIT_EDGES_S

# Left out in this order where the terminal is narrow.
EXPENDABLE = (
    "SERVICE",
    "WORKERS",
    "P95",
    "SLOTS",
    "WAIT P50",
    "SCHEDULED",
    "RUNNING",
    "DEAD",
    "IN/S",
    "OUT/S",
    "OLDEST",
    "DRAIN IN",
    "STATE",
)
GAP = "  "
MOST_NOTES = 5
LEAST_LINES = 5
LEFT = frozenset({"QUEUE", "STATE"})
UNKNOWN = "-"

Pair = tuple[LagRow, Flow]


def lines(pairs: Sequence[Pair], width: int | None, height: int | None) -> list[str]:
    """Lay out a header and a line a queue; None for width or height means no bound.

    Where the height does not suffice, the largest backlogs are shown, and how many are not.
    """
    if not pairs:
        return ["no queues yet"]
    shown = list(pairs)
    notes = _notes(pairs)
    if height is not None and len(shown) + 1 + len(notes) > height:
        notes = notes if height > len(notes) + LEAST_LINES else []
    if height is not None and len(shown) + 1 + len(notes) > height:
        kept = max(1, height - 2 - len(notes))
        largest = sorted(shown, key=lambda pair: -pair[0].ready)[:kept]
        shown = [pair for pair in pairs if pair in largest]
    columns = {name: [name, *(cell(*pair) for pair in shown)] for name, cell in CELLS.items()}
    if all(text == "" for text in columns["STATE"][1:]):
        del columns["STATE"]
    laid_out = _fit(columns, width)
    if len(shown) < len(pairs):
        hidden = counted(len(pairs) - len(shown), "more queue")
        laid_out.append(f"and {hidden}, with smaller backlogs")
    laid_out += notes
    return laid_out if width is None else [line[:width] for line in laid_out]


def _notes(pairs: Sequence[Pair]) -> list[str]:
    """Say which jobs wait for a worker that knows their task: no column tells that."""
    notes = [note for row, _ in pairs for note in unknown_tasks(row).values()]
    if len(notes) > MOST_NOTES:
        hidden = counted(len(notes) - MOST_NOTES + 1, "more such task")
        notes[MOST_NOTES - 1 :] = [f"... and {hidden}"]
    return notes


def _state(row: LagRow) -> str:
    draining = f"{row.draining_workers} draining" if row.draining_workers else ""
    return ", ".join(filter(None, ("paused" if row.paused else "", draining)))


def _fit(columns: dict[str, list[str]], width: int | None) -> list[str]:
    left = dict(columns)
    for name in ("", *EXPENDABLE):
        left.pop(name, None)
        laid_out = _lay_out(left)
        if width is None or max(map(len, laid_out)) <= width:
            return laid_out
    return _lay_out(left)


def _lay_out(columns: dict[str, list[str]]) -> list[str]:
    aligned = []
    for name, texts in columns.items():
        width = max(map(len, texts))
        aligned.append([t.ljust(width) if name in LEFT else t.rjust(width) for t in texts])
    return [GAP.join(line).rstrip() for line in zip(*aligned, strict=True)]


def rate(per_s: float | None) -> str:
    """Write a rate in at most five characters: `0`, `0.25`, `12`, `3.4k`."""
    if per_s is None:
        return UNKNOWN
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if per_s >= size:
            return f"{per_s / size:.1f}{unit}"
    return f"{per_s:.0f}" if per_s >= 10 or per_s == 0 else f"{per_s:.2g}"  # noqa: PLR2004 - two digits


def duration(span_s: float | None) -> str:
    """Write a time: `35ms`, `4.2s`, `3m10s`."""
    if span_s is None:
        return UNKNOWN
    if span_s < 1:
        return f"{span_s * 1000:.0f}ms" if span_s else "0s"
    return f"{span_s:.1f}s" if span_s < 10 else span(span_s)  # noqa: PLR2004 - two digits


def _time_or(beyond: str, span_s: float | None) -> str:
    return beyond if span_s == math.inf else duration(span_s)


BEYOND = f">{duration(WAIT_EDGES_S[-1])}"
CELLS: Mapping[str, Callable[[LagRow, Flow], str]] = {
    "QUEUE": lambda row, _: row.queue,
    "READY": lambda row, _: str(row.ready) if row.ready_is_exact else f"~{row.ready}",
    "OLDEST": lambda row, _: duration(row.oldest_ready_age_s) if row.ready else UNKNOWN,
    "RUNNING": lambda row, _: str(row.running),
    "SCHEDULED": lambda row, _: str(row.scheduled),
    "DEAD": lambda row, _: str(row.dead),
    "IN/S": lambda _, moved: rate(moved.arrivals_per_s),
    "OUT/S": lambda _, moved: rate(moved.throughput_per_s),
    "WAIT P50": lambda _, moved: _time_or(BEYOND, moved.wait_p50_s),
    "P95": lambda _, moved: _time_or(BEYOND, moved.wait_p95_s),
    "SERVICE": lambda _, moved: duration(moved.service_s),
    "SLOTS": lambda row, _: f"{row.busy_slots}/{row.slots}",
    "WORKERS": lambda row, _: str(row.workers),
    "DRAIN IN": lambda _, moved: _time_or("never", moved.drain_in_s),
    "STATE": lambda row, _: _state(row),
}
