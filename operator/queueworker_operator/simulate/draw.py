"""PURE: draw a comparison as SVG: waits and pods over time, and cost against lateness."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from queueworker_operator.simulate.result import Moment, Outcome
from queueworker_operator.svg import (
    BLUE,
    GREEN,
    LEFT,
    ORANGE,
    PALE,
    PANEL,
    TIME_TICKS,
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
DOT = 6
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
    for index, outcome in enumerate(outcomes):
        colour = COLOURS[index % len(COLOURS)]
        x = frame.x(outcome.figures.pod_hours)
        y = frame.y(100 * outcome.figures.late_fraction)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT}" fill="{colour}"/>')
        # Names on three heights: policies that are not late at all would hide each other's.
        parts.append(text(x + 9, y - 4 - 13 * (index % 3), outcome.policy, colour=colour))
    return parts
