"""PURE: draw a run as SVG: backlog, age of the oldest job against the promise, workers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from queueworker_operator.local.history import Point

WIDTH, LEFT, RIGHT, TOP = 960, 64, 24, 84
PANEL, GAP, BOTTOM = 132, 44, 46
BLUE, ORANGE, GREEN, INK, PALE, GRID = (
    "#2563eb",
    "#ea580c",
    "#059669",
    "#0f172a",
    "#64748b",
    "#e2e8f0",
)
FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\""
NICE_STEPS = (1, 2, 2.5, 5, 10)
TIME_TICKS, VALUE_TICKS = 8, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series of a panel. A filled one is an area; steps keep a value until the next point."""

    label: str
    colour: str
    value: Callable[[Point], float]
    filled: bool = False
    steps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Series over one axis, with a dashed bound where there is a promise."""

    title: str
    lines: tuple[Line, ...]
    bound: float | None = None
    bound_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where one panel lies, and how its values become pixels."""

    top: float
    until_s: float
    highest: float

    def x(self, at_s: float) -> float:
        """Give the pixel of a time."""
        return LEFT + (WIDTH - LEFT - RIGHT) * at_s / self.until_s

    def y(self, value: float) -> float:
        """Give the pixel of a value."""
        return self.top + PANEL * (1 - value / self.highest)


def draw(points: Sequence[Point], *, title: str, subtitle: str, start_within_s: float) -> str:
    """Draw `points` as an SVG document of its own."""
    panels = _panels(start_within_s)
    until_s = max((point.at_s for point in points), default=0.0) or 1.0
    height = TOP + len(panels) * (PANEL + GAP) - GAP + BOTTOM
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" {FONT} font-size="12" role="img">'
        ),
        f"<title>{escape(title)}</title>",
        (
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10" fill="#ffffff" '
            f'stroke="{GRID}"/>'
        ),
        _text(24, 36, title, size=18, weight=600),
        _text(24, 57, subtitle, colour=PALE, size=13),
    ]
    for index, panel in enumerate(panels):
        frame = Frame(
            top=TOP + index * (PANEL + GAP) + 14,
            until_s=until_s,
            highest=_highest(panel, points),
        )
        parts += _panel(panel, frame, points)
    parts += _time_axis(Frame(top=height - BOTTOM - PANEL + 14, until_s=until_s, highest=1.0))
    return "\n".join([*parts, "</svg>", ""])


def _panels(start_within_s: float) -> tuple[Panel, ...]:
    return (
        Panel(
            title="jobs",
            lines=(
                Line(label="backlog", colour=BLUE, value=lambda p: p.backlog, filled=True),
                Line(label="arrivals per second", colour=PALE, value=lambda p: p.arrivals_per_s),
            ),
        ),
        Panel(
            title="seconds",
            lines=(
                Line(
                    label="age of the oldest waiting job",
                    colour=ORANGE,
                    value=lambda p: p.oldest_s,
                    filled=True,
                ),
            ),
            bound=start_within_s,
            bound_label=f"promise {start_within_s:g} s",
        ),
        Panel(
            title="workers",
            lines=(
                Line(
                    label="running",
                    colour=GREEN,
                    value=lambda p: p.running,
                    filled=True,
                    steps=True,
                ),
                Line(label="desired", colour=INK, value=lambda p: p.desired, steps=True),
            ),
        ),
    )


def _panel(panel: Panel, frame: Frame, points: Sequence[Point]) -> list[str]:
    parts = []
    for value in _ticks(frame.highest, VALUE_TICKS):
        y = frame.y(value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        )
        parts.append(_text(LEFT - 8, y + 4, f"{value:g}", colour=PALE, anchor="end"))
    for line in panel.lines:
        parts += _series(line, frame, points)
    if panel.bound is not None:
        y = frame.y(panel.bound)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{ORANGE}" stroke-dasharray="6 4"/>'
        )
        parts.append(
            _text(WIDTH - RIGHT - 4, y - 6, panel.bound_label, colour=ORANGE, anchor="end")
        )
    return parts + _legend(panel, frame.top - 12)


def _series(line: Line, frame: Frame, points: Sequence[Point]) -> list[str]:
    places: list[tuple[float, float]] = []
    for point in points if line.steps else [point for point in points if point.fresh]:
        x, y = frame.x(point.at_s), frame.y(line.value(point))
        if line.steps and places:
            places.append((x, places[-1][1]))
        places.append((x, y))
    if not places:
        return []
    path = "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = []
    if line.filled:
        floor = frame.y(0)
        closed = f"{path} L{places[-1][0]:.1f},{floor:.1f} L{places[0][0]:.1f},{floor:.1f} Z"
        parts.append(f'<path d="{closed}" fill="{line.colour}" fill-opacity="0.16"/>')
    width = 2 if line.filled else 1.5
    return [
        *parts,
        (
            f'<path d="{path}" fill="none" stroke="{line.colour}" stroke-width="{width}" '
            'stroke-linejoin="round"/>'
        ),
    ]


def _legend(panel: Panel, y: float) -> list[str]:
    parts = [_text(LEFT, y, panel.title, colour=INK, weight=600)]
    x = LEFT + 76.0
    for line in panel.lines:
        parts.append(
            f'<rect x="{x:.0f}" y="{y - 8:.1f}" width="14" height="{8 if line.filled else 2}" '
            f'transform="translate(0 {0 if line.filled else 3})" rx="1" fill="{line.colour}"/>'
        )
        parts.append(_text(x + 20, y, line.label, colour=PALE))
        x += 44 + 6.6 * len(line.label)
    return parts


def _time_axis(frame: Frame) -> list[str]:
    y = frame.top + PANEL + 18
    return [
        _text(frame.x(at_s), y, f"{at_s:g} s", colour=PALE, anchor="middle")
        for at_s in _ticks(frame.until_s, TIME_TICKS)
    ]


def _text(
    x: float,
    y: float,
    text: str,
    *,
    colour: str = INK,
    size: int = 12,
    weight: int = 400,
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" '
        f'font-weight="{weight}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _highest(panel: Panel, points: Sequence[Point]) -> float:
    values = [line.value(point) for line in panel.lines for point in points]
    highest = max([*values, (panel.bound or 0.0) * 1.1, 1.0])
    step = _step(highest, VALUE_TICKS)
    return math.ceil(highest / step) * step


def _ticks(highest: float, count: int) -> list[float]:
    step = _step(highest, count)
    return [step * index for index in range(int(highest / step + 1e-9) + 1)]


def _step(highest: float, count: int) -> float:
    """Give a step of 1, 2, 2.5 or 5 times a power of ten, at most `count` of which fit."""
    power = 10.0 ** math.floor(math.log10(highest / count))
    return next(nice * power for nice in NICE_STEPS if highest / (nice * power) <= count + 1e-9)
