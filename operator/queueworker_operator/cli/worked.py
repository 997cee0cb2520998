"""A decision worked out by hand, as text of at most 80 columns and as a document."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

from queueworker_operator.controller.record import work_out_again
from queueworker_operator.decision.codec import InvalidRecord
from queueworker_operator.decision.working import Point, Working
from queueworker_operator.text import counted

WIDTH = 80
COLUMN = 13
SMALL_HANG = 4
UNWEIGHED = "Nothing was weighed for it: it holds, or follows what the spec says."
NO_POINTS = "no job waits, comes or falls due in this time: no deadline can be missed"
LEGEND = (
    "u: seconds from then on. D(u): jobs that must have started by u to be in time. "
    "K(u): jobs that would have, with so many pods. < marks a deadline missed with one fewer."
)


def document_of(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the working for programs; None where nothing was weighed."""
    working = work_out_again(record)
    if working is None:
        return None
    return {
        "inputs": dict(working.inputs),
        "forecast": dict(working.forecast),
        "horizon": working.horizon,
        "points": [asdict(point) for point in working.points],
        "bounds": [asdict(bound) for bound in working.bounds],
        "one_fewer": working.fewer,
    }


def text_of(record: Mapping[str, Any], message: str, width: int = WIDTH) -> str:
    """Give the working for people."""
    told = wrapped(message, width=width)
    try:
        working = work_out_again(record)
    except InvalidRecord as exc:
        return f"{told}\n\n{wrapped(f'It cannot be worked out: {exc}', width=width)}"
    if working is None:
        return f"{told}\n\n{wrapped(UNWEIGHED, width=width)}"
    return "\n".join((told, *sections(working, record["decision"], width)))


def sections(working: Working, decision: Mapping[str, Any], width: int) -> Iterator[str]:
    """Give the parts, in the order in which one would work them out."""
    yield "\nInputs"
    yield from pairs(working.inputs, width)
    yield "\nForecast"
    yield from pairs(working.forecast, width)
    yield f"\nDemand against capacity\n{wrapped(working.horizon, '  ', width=width)}"
    yield from curve(working.points, int(decision["desired"]), width)
    if working.points:
        yield wrapped(LEGEND, "  ", width=width)
    yield "\nWhat bounded it"
    for bound in working.bounds:
        yield wrapped(f"{bound.name:<12}{bound.pods:>7}  {bound.why}", "  ", 21, width)
    yield f"\nOne pod fewer\n{wrapped(working.fewer, '  ', width=width)}"


def pairs(entries: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Write names and what they are, one a line."""
    for name, text in entries:
        yield wrapped(f"{name:<12}{text}", "  ", 12, width)


def curve(points: Sequence[Point], desired: int, width: int) -> Iterator[str]:
    """Write the curves as a table; each of its lines as two where the columns do not fit."""
    if not points:
        yield wrapped(NO_POINTS, "  ", width=width)
        return
    pods = (counted(number, "pod") for number in (desired, max(desired - 1, 0)))
    heads = ("u", "D(u)", "K there", *(f"K {number}" for number in pods))
    rows = [cells_of(point) for point in points]
    missed = ["  <" if misses(point) else "" for point in points]
    column = min(COLUMN, (width - len("  " + "  <")) // len(heads))
    if column > max(len(cell) for row in (heads, *rows) for cell in row):
        for row, mark in zip((heads, *rows), ("", *missed), strict=True):
            yield "  " + "".join(f"{cell:>{column}}" for cell in row) + mark
        return
    for row, mark in zip(rows, missed, strict=True):
        named = [f"{head} {cell}" for head, cell in zip(heads, row, strict=True)]
        yield wrapped("  ".join(named[:3]), "  ", 2, width)
        yield wrapped("  ".join(named[3:]) + mark, "    ", width=width)


def cells_of(point: Point) -> tuple[str, ...]:
    """Write the numbers of one instant."""
    jobs = (point.due, point.now, point.decided, point.fewer)
    return (f"{point.time_s:.1f}s", *(f"{count:.1f}" for count in jobs))


def misses(point: Point) -> bool:
    """Tell whether one pod fewer would miss a deadline there."""
    return point.counts and point.due - point.fewer > 1e-6  # noqa: PLR2004


def wrapped(text: str, indent: str = "", hang: int = 0, width: int = WIDTH) -> str:
    """Break a text at so many columns; `hang` more columns in front of its further lines.

    In a narrow terminal a hang of more than a third would leave no room, and a word may be longer
    than a line: the one becomes small, the other breaks.
    """
    narrow = width < WIDTH
    if narrow and hang > width // 3:
        hang = SMALL_HANG
    return fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent + " " * hang,
        break_long_words=narrow,
        break_on_hyphens=False,
    )
