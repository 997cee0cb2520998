"""PURE: draw panels of series over one axis of time as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

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
UNITS = ((7200.0, 3600.0, "h"), (600.0, 60.0, "min"), (0.0, 1.0, "s"))

Places = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of (time, value). A filled one is an area; steps keep a value until the next."""

    label: str
    colour: str
    places: Places
    filled: bool = False
    steps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Series over one axis, with a dashed bound where there is a promise."""

    title: str
    series: tuple[Series, ...]
    bound: float | None = None
    bound_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where one panel lies, and how its values become pixels."""

    top: float
    until: float
    highest: float

    def x(self, value: float) -> float:
        """Give the pixel of a time, or of what else runs to the right."""
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.until

    def y(self, value: float) -> float:
        """Give the pixel of a value."""
        return self.top + PANEL * (1 - value / self.highest)


def height_of(panels: int) -> int:
    """Give the height of a document of that many panels."""
    return TOP + panels * (PANEL + GAP) - GAP + BOTTOM


def top_of(index: int) -> float:
    """Give the top of a panel."""
    return TOP + index * (PANEL + GAP) + 14


def document(title: str, subtitle: str, height: int, parts: Sequence[str]) -> str:
    """Put `parts` on a page with a title."""
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
                f'width="{WIDTH}" height="{height}" {FONT} font-size="12" role="img">'
            ),
            f"<title>{escape(title)}</title>",
            (
                f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10" '
                f'fill="#ffffff" stroke="{GRID}"/>'
            ),
            text(24, 36, title, size=18, weight=600),
            text(24, 57, subtitle, colour=PALE, size=13),
            *parts,
            "</svg>",
            "",
        ]
    )


def stacked(panels: Sequence[Panel], until_s: float) -> list[str]:
    """Draw panels one below the other, and the axis of time below the last."""
    parts: list[str] = []
    for index, panel in enumerate(panels):
        frame = Frame(top=top_of(index), until=until_s, highest=highest_of(panel))
        parts += _panel(panel, frame)
    last = Frame(top=top_of(len(panels) - 1), until=until_s, highest=1.0)
    return parts + _time_axis(last)


def grid(frame: Frame, unit: str = "") -> list[str]:
    """Draw the lines of the values."""
    parts = []
    for value in ticks(frame.highest, VALUE_TICKS):
        y = frame.y(value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        )
        parts.append(text(LEFT - 8, y + 4, f"{value:g}{unit}", colour=PALE, anchor="end"))
    return parts


def _panel(panel: Panel, frame: Frame) -> list[str]:
    parts = grid(frame)
    for series in panel.series:
        parts += _series(series, frame)
    if panel.bound is not None:
        y = frame.y(panel.bound)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{ORANGE}" stroke-dasharray="6 4"/>'
        )
        parts.append(text(WIDTH - RIGHT - 4, y - 6, panel.bound_label, colour=ORANGE, anchor="end"))
    return parts + _legend(panel, frame.top - 12)


def _series(series: Series, frame: Frame) -> list[str]:
    places: list[tuple[float, float]] = []
    for at, value in series.places:
        x, y = frame.x(at), frame.y(value)
        if series.steps and places:
            places.append((x, places[-1][1]))
        places.append((x, y))
    if not places:
        return []
    path = "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = []
    if series.filled:
        floor = frame.y(0)
        closed = f"{path} L{places[-1][0]:.1f},{floor:.1f} L{places[0][0]:.1f},{floor:.1f} Z"
        parts.append(f'<path d="{closed}" fill="{series.colour}" fill-opacity="0.16"/>')
    width = 2 if series.filled else 1.5
    return [
        *parts,
        (
            f'<path d="{path}" fill="none" stroke="{series.colour}" stroke-width="{width}" '
            'stroke-linejoin="round"/>'
        ),
    ]


def _legend(panel: Panel, y: float) -> list[str]:
    parts = [text(LEFT, y, panel.title, colour=INK, weight=600)]
    x = LEFT + max(76.0, 24 + 7.2 * len(panel.title))
    for series in panel.series:
        parts.append(
            f'<rect x="{x:.0f}" y="{y - 8:.1f}" width="14" height="{8 if series.filled else 2}" '
            f'transform="translate(0 {0 if series.filled else 3})" rx="1" fill="{series.colour}"/>'
        )
        parts.append(text(x + 20, y, series.label, colour=PALE))
        x += 44 + 6.6 * len(series.label)
    return parts


def _time_axis(frame: Frame) -> list[str]:
    y = frame.top + PANEL + 18
    _, scale, unit = next(one for one in UNITS if frame.until >= one[0])
    return [
        text(frame.x(at * scale), y, f"{at:g} {unit}", colour=PALE, anchor="middle")
        for at in ticks(frame.until / scale, TIME_TICKS)
    ]


def text(
    x: float,
    y: float,
    words: str,
    *,
    colour: str = INK,
    size: int = 12,
    weight: int = 400,
    anchor: str = "start",
) -> str:
    """Write words."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" '
        f'font-weight="{weight}" text-anchor="{anchor}">{escape(words)}</text>'
    )


def highest_of(panel: Panel) -> float:
    """Give the end of a panel's axis: a nice number above all values and the bound."""
    values = [value for series in panel.series for _, value in series.places]
    return nice(max([*values, (panel.bound or 0.0) * 1.1, 1.0]))


def nice(highest: float) -> float:
    """Give the next multiple of the step between ticks."""
    step = _step(highest, VALUE_TICKS)
    return math.ceil(highest / step) * step


def ticks(highest: float, count: int) -> list[float]:
    """Give at most `count` nice values up to `highest`, and 0."""
    step = _step(highest, count)
    return [step * index for index in range(int(highest / step + 1e-9) + 1)]


def _step(highest: float, count: int) -> float:
    """Give a step of 1, 2, 2.5 or 5 times a power of ten, at most `count` of which fit."""
    power = 10.0 ** math.floor(math.log10(highest / count))
    return next(nice * power for nice in NICE_STEPS if highest / (nice * power) <= count + 1e-9)
