"""A decision worked out by hand, as text of 80 columns and as a document."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

from queueworker_operator.controller.record import work_out_again
from queueworker_operator.decision.codec import InvalidRecord
from queueworker_operator.decision.working import Point, Working
from queueworker_operator.text import counted

WIDTH = 80
UNWEIGHED = "Nothing was weighed for it: it holds, or follows what the spec says."
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


def text_of(record: Mapping[str, Any], message: str) -> str:
    """Give the working for people."""
    try:
        working = work_out_again(record)
    except InvalidRecord as exc:
        return f"{wrapped(message)}\n\n{wrapped(f'It cannot be worked out: {exc}')}"
    if working is None:
        return f"{wrapped(message)}\n\n{UNWEIGHED}"
    return "\n".join((wrapped(message), *sections(working, record["decision"])))


def sections(working: Working, decision: Mapping[str, Any]) -> Iterator[str]:
    """Give the parts, in the order in which one would work them out."""
    yield "\nInputs"
    yield from pairs(working.inputs)
    yield "\nForecast"
    yield from pairs(working.forecast)
    yield f"\nDemand against capacity\n{wrapped(working.horizon, '  ')}"
    yield from curve(working.points, int(decision["desired"]))
    if working.points:
        yield wrapped(LEGEND, "  ")
    yield "\nWhat bounded it"
    for bound in working.bounds:
        yield wrapped(f"{bound.name:<12}{bound.pods:>7}  {bound.why}", "  ", 21)
    yield f"\nOne pod fewer\n{wrapped(working.fewer, '  ')}"


def pairs(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Write names and what they are, one a line."""
    for name, text in entries:
        yield wrapped(f"{name:<12}{text}", "  ", 12)


def curve(points: Sequence[Point], desired: int) -> Iterator[str]:
    """Write the curves as a table."""
    if not points:
        yield "  no job waits, comes or falls due in this time: no deadline can be missed"
        return
    heads = (
        "u",
        "D(u)",
        "K there",
        *(f"K {counted(pods, 'pod')}" for pods in (desired, max(desired - 1, 0))),
    )
    yield "  " + "".join(f"{head:>13}" for head in heads)
    for point in points:
        jobs = (point.due, point.now, point.decided, point.fewer)
        missed = "  <" if point.counts and point.due - point.fewer > 1e-6 else ""  # noqa: PLR2004
        yield f"  {point.time_s:>12.1f}s" + "".join(f"{count:>13.1f}" for count in jobs) + missed


def wrapped(text: str, indent: str = "", hang: int = 0) -> str:
    """Break a text at 80 columns; `hang` more columns in front of its further lines."""
    return fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + " " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
