"""PURE: draw a comparison as SVG: waits and pods over time, and cost against lateness."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from queueworker_operator.simulate.result import Moment, Outcome
from queueworker_operator.svg import (
    BLUE,
    GREEN,
    LEFT,
    ORANGE,
    PALE,
    PANEL,
    RIGHT,
    TIME_TICKS,
    WIDTH,
    Frame,
    Panel,
    Places,
    Series,
    document,
    grid,
    height_of,
    nice,
    stacked,
    text,
    ticks,
    top_of,
)

COLOURS = (BLUE, "#dc2626", "#f59e0b", "#a21caf", "#0891b2", GREEN)
DOT, LETTER, LINE = 6, 7, 14
Box = tuple[float, float, float, float]
AXIS = 30


def draw(outcomes: Sequence[Outcome], *, title: str, subtitle: str, promise_s: float) -> str:
    """Draw all policies of one workload."""
    until_s = max((one.moments[-1].at_s for one in outcomes if one.moments), default=0.0) or 1.0
    panels = (
        _panel("oldest wait, s", outcomes, lambda moment: moment.oldest_s, promise_s),
        _panel("pods", outcomes, lambda moment: float(moment.pods), None),
        _backlog(outcomes[0]),
    )
    top = top_of(len(panels)) + AXIS
    parts = [*stacked(panels, until_s), *_scatter(outcomes, top)]
    return document(title, subtitle, height_of(len(panels) + 1) + AXIS, parts)


def _panel(
    title: str,
    outcomes: Sequence[Outcome],
    value: Callable[[Moment], float],
    promise_s: float | None,
) -> Panel:
    return Panel(
        title=title,
        series=tuple(
            Series(
                label=outcome.policy,
                colour=COLOURS[index % len(COLOURS)],
                places=_turns([(moment.at_s, value(moment)) for moment in outcome.moments]),
                steps=True,
            )
            for index, outcome in enumerate(outcomes)
        ),
        bound=promise_s,
        bound_label="" if promise_s is None else f"promise {promise_s:g} s",
    )


def _turns(places: Places) -> Places:
    """Leave out what a line of steps goes through without a turn."""
    inner = [
        place
        for before, place in pairwise(places)
        if place[1] != before[1] or place[0] == places[-1][0]
    ]
    return [*places[:1], *inner]


def _backlog(outcome: Outcome) -> Panel:
    places = [(moment.at_s, float(moment.backlog)) for moment in outcome.moments]
    running = [(moment.at_s, float(moment.running)) for moment in outcome.moments]
    return Panel(
        title=f"jobs ({outcome.policy})",
        series=(
            Series(label="waiting", colour=ORANGE, places=places, filled=True),
            Series(label="running", colour=PALE, places=running),
        ),
    )


def _scatter(outcomes: Sequence[Outcome], top: float) -> list[str]:
    """Draw a dot a policy: to the right it costs more, upwards more is late."""
    most_late = max(100 * one.figures.late_fraction for one in outcomes)
    most_cost = max(one.figures.pod_hours for one in outcomes)
    frame = Frame(top=top, until=most_cost * 1.15 or 1.0, highest=nice(max(most_late * 1.1, 0.5)))
    parts = [*grid(frame, " %"), text(LEFT, top - 12, "late against pod-hours", weight=600)]
    parts += [
        text(frame.x(hours), top + PANEL + 18, f"{hours:g} h", colour=PALE, anchor="middle")
        for hours in ticks(frame.until, TIME_TICKS)
    ]
    dots = [
        Dot(
            x=frame.x(outcome.figures.pod_hours),
            y=frame.y(100 * outcome.figures.late_fraction),
            name=outcome.policy,
            colour=COLOURS[index % len(COLOURS)],
        )
        for index, outcome in enumerate(outcomes)
    ]
    return parts + _named(dots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One policy's place."""

    x: float
    y: float
    name: str
    colour: str


def _named(dots: Sequence[Dot]) -> list[str]:
    """Draw the dots, each name as near to its dot as others leave room, and a line to it."""
    parts: list[str] = []
    taken = [(dot.x - DOT, dot.y - DOT, dot.x + DOT, dot.y + DOT) for dot in dots]
    for dot in sorted(dots, key=lambda dot: dot.x):
        width = LETTER * len(dot.name)
        left = min(dot.x + DOT + 3, WIDTH - RIGHT - width)
        boxes = [
            (left, dot.y - 1 - LINE * (level + 1), left + width, dot.y - 2 - LINE * level)
            for level in range(len(dots) + 1)
        ]
        free = (box for box in boxes if not any(_meet(box, other) for other in taken))
        box = next(free, boxes[0])
        foot = box[3] - 2
        taken.append(box)
        if box != boxes[0]:
            line = f'x1="{dot.x:.1f}" y1="{dot.y:.1f}" x2="{left:.1f}" y2="{foot - 3:.1f}"'
            parts.append(f'<line {line} stroke="{dot.colour}" stroke-opacity="0.5"/>')
        parts.append(f'<circle cx="{dot.x:.1f}" cy="{dot.y:.1f}" r="{DOT}" fill="{dot.colour}"/>')
        parts.append(text(left, foot, dot.name, colour=dot.colour))
    return parts


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
