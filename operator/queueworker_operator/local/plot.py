"""PURE: draw a run as SVG: backlog, age of the oldest job against the promise, workers."""

from collections.abc import Callable, Sequence

from queueworker_operator.local.history import Point
from queueworker_operator.svg import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PALE,
    Panel,
    Places,
    Series,
    document,
    height_of,
    stacked,
)


def draw(points: Sequence[Point], *, title: str, subtitle: str, start_within_s: float) -> str:
    """Draw `points` as an SVG document of its own."""
    panels = _panels(points, start_within_s)
    until_s = max((point.at_s for point in points), default=0.0) or 1.0
    return document(title, subtitle, height_of(len(panels)), stacked(panels, until_s))


def _panels(points: Sequence[Point], start_within_s: float) -> tuple[Panel, ...]:
    # Between two readings the last values of a queue are old; those of the workers are not.
    fresh = [point for point in points if point.fresh]
    return _jobs(fresh), _ages(fresh, start_within_s), _workers(points)


def _jobs(points: Sequence[Point]) -> Panel:
    backlog = _places(points, lambda p: p.backlog)
    arrivals = _places(points, lambda p: p.arrivals_per_s)
    return Panel(
        title="jobs",
        series=(
            Series(label="backlog", colour=BLUE, places=backlog, filled=True),
            Series(label="arrivals per second", colour=PALE, places=arrivals),
        ),
    )


def _ages(points: Sequence[Point], start_within_s: float) -> Panel:
    label, places = "age of the oldest waiting job", _places(points, lambda p: p.oldest_s)
    return Panel(
        title="seconds",
        series=(Series(label=label, colour=ORANGE, places=places, filled=True),),
        bound=start_within_s,
        bound_label=f"promise {start_within_s:g} s",
    )


def _workers(points: Sequence[Point]) -> Panel:
    running = _places(points, lambda p: p.running)
    desired = _places(points, lambda p: p.desired)
    return Panel(
        title="workers",
        series=(
            Series(label="running", colour=GREEN, places=running, filled=True, steps=True),
            Series(label="desired", colour=INK, places=desired, steps=True),
        ),
    )


def _places(points: Sequence[Point], value: Callable[[Point], float]) -> Places:
    return [(point.at_s, value(point)) for point in points]
