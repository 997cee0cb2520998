"""PURE: draw bars and lines as SVG."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 860, 230, 90, 58, 16, 6
HEIGHT, BOTTOM = 240, 40
OURS, OTHERS, INK, PALE, GRID = "#2563eb", "#94a3b8", "#0f172a", "#64748b", "#e2e8f0"
FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\""
COLOURS = (OURS, "#ea580c", "#059669", "#7c3aed", "#0891b2", "#b91c1c")

Bar = tuple[str, float, bool]
Points = Sequence[tuple[float, float]]


def bars(title: str, entries: Sequence[Bar], unit: str) -> str:
    """Draw labelled horizontal bars; those marked True are ours."""
    highest = max((value for _, value, _ in entries), default=0.0) or 1.0
    height = TOP + len(entries) * (BAR + GAP) + 16
    parts = _open(title, height)
    for number, (label, value, is_ours) in enumerate(entries):
        y = TOP + number * (BAR + GAP)
        width = (WIDTH - LEFT - RIGHT) * value / highest
        colour = OURS if is_ours else OTHERS
        parts += [
            _text(LEFT - 8, y + 12, label, anchor="end"),
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            _text(LEFT + width + 6, y + 12, f"{value:,.0f} {unit}".rstrip(), colour=PALE),
        ]
    return "\n".join([*parts, "</svg>", ""])


def lines(title: str, series: Mapping[str, Points], unit: str) -> str:
    """Draw series of (seconds, value) over one axis that starts at 0."""
    points = [point for one in series.values() for point in one]
    highest = max((value for _, value in points), default=0.0) or 1.0
    until_s = max((at_s for at_s, _ in points), default=0.0) or 1.0
    floor = TOP + HEIGHT
    parts = _open(title, floor + BOTTOM)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = floor - HEIGHT * share
        parts.append(f'<line x1="90" x2="{WIDTH - 200}" y1="{y}" y2="{y}" stroke="{GRID}"/>')
        parts.append(_text(84, y + 4, f"{highest * share:,.0f}", colour=PALE, anchor="end"))
        x = 90 + (WIDTH - 290) * share
        parts.append(_text(x, floor + 20, f"{until_s * share:g} s", colour=PALE, anchor="middle"))
    for number, (label, one) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " L".join(
            f"{90 + (WIDTH - 290) * at_s / until_s:.1f},{floor - HEIGHT * value / highest:.1f}"
            for at_s, value in one
        )
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(WIDTH - 190, TOP + 14 + 20 * number, label, colour=colour))
    parts.append(_text(84, TOP - 10, unit, colour=PALE, anchor="end"))
    return "\n".join([*parts, "</svg>", ""])


def _open(title: str, height: float) -> list[str]:
    return [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'width="{WIDTH}" height="{height:.0f}" {FONT} font-size="12" role="img">'
        ),
        f"<title>{escape(title)}</title>",
        (
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="10" '
            f'fill="#ffffff" stroke="{GRID}"/>'
        ),
        f'<text x="24" y="34" fill="{INK}" font-size="16" font-weight="600">{escape(title)}</text>',
    ]


def _text(x: float, y: float, text: str, *, colour: str = INK, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'
