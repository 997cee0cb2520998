#!/usr/bin/env python3
"""Draw the pictures of the architecture page from hack/drawings.toml.

hack/drawings.py            write docs/images/{job-flow,scaling-flow,scale-in,parts}.svg
hack/drawings.py --check    write nothing; exit 1 and name the pictures that are not up to date
"""

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
INK, QUIET, LINE, FILL = "#0f172a", "#64748b", "#2563eb", "#eff6ff"
LANE, STEP, TOP, EDGE, LETTER = 250, 40, 56, 40, 6.2
BOX_WIDTH, BOX_HEIGHT, MAP_X, MAP_Y = 170, 56, 300, 150


def text(x: float, y: float, words: str, *, color: str = INK, size: int = 12) -> str:
    """Write words around a middle."""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="middle" fill="{color}" font-size="{size}">'
        f"{escape(words)}</text>"
    )


def label(x: float, y: float, words: str) -> str:
    """Write words on white, so that lines below do not disturb."""
    width = LETTER * len(words)
    return (
        f'<rect x="{x - width / 2:g}" y="{y - 11:g}" width="{width:g}" height="14" fill="#ffffff"/>'
        + text(x, y, words)
    )


def box(x: float, y: float, width: float, height: float) -> str:
    """Draw a box around a middle."""
    return (
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}"'
        f' rx="6" fill="{FILL}" stroke="{LINE}"/>'
    )


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """Draw an arrow from a point to another."""
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{LINE}"'
        ' stroke-width="1.5" marker-end="url(#end)"/>'
    )


def frame(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    """Put parts on a white sheet with a title."""
    head = (
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
            f' width="{width:g}" height="{height:g}" font-family="{FONT}" role="img">'
        ),
        f"<title>{escape(title)}</title>",
        (
            f'<defs><marker id="end" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"'
            f' orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{LINE}"/></marker></defs>'
        ),
        (
            f'<rect x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="10" fill="#ffffff"'
            ' stroke="#e2e8f0"/>'
        ),
    )
    return "\n".join((*head, *parts, "</svg>", ""))


def story(drawing: Mapping[str, Any]) -> str:
    """Draw actors beside each other, and their steps from top to bottom."""
    actors, steps = drawing["actors"], drawing["steps"]
    x_of = {name: EDGE + LANE * (at + 0.4) for at, name in enumerate(actors)}
    height = TOP + STEP * (len(steps) + 1)
    parts = []
    for name, x in x_of.items():
        parts.append(
            f'<line x1="{x:g}" y1="{TOP - 12}" x2="{x:g}" y2="{height - 16}" stroke="#cbd5e1"/>'
        )
        parts += [box(x, 30, 130, 28), text(x, 34, name, size=13)]
    for at, (source, target, words) in enumerate(steps):
        parts += step(x_of[source], x_of[target], TOP + STEP * (at + 1) - 8, words)
    width = EDGE * 2 + LANE * (len(actors) - 0.2)
    return frame(drawing["title"], width, height, parts)


def step(x1: float, x2: float, y: float, words: str) -> Iterator[str]:
    """Draw one step; one within an actor is a box on its line."""
    if x1 == x2:
        width = LETTER * len(words) + 16
        middle = max(x1, width / 2 + 8)
        yield box(middle, y - 2, width, 24)
        yield text(middle, y + 2, words)
        return
    yield label((x1 + x2) / 2, y - 6, words)
    yield arrow(x1, y, x2 + (-3 if x2 > x1 else 3), y)


def chart(drawing: Mapping[str, Any]) -> str:
    """Draw boxes at their places, with what each may do below its name, and arrows between them."""
    at = {name: (110 + MAP_X * x, 60 + MAP_Y * y) for name, x, y, _ in drawing["boxes"]}
    parts = []
    for source, target, words in drawing["arrows"]:
        parts += between(at[source], at[target], words)
    for name, _, _, rights in drawing["boxes"]:
        x, y = at[name]
        parts += [box(x, y, BOX_WIDTH, BOX_HEIGHT), text(x, y - 4, name, size=14)]
        parts.append(text(x, y + 16, rights, color=QUIET))
    width = 220 + MAP_X * max(x for _, x, _, _ in drawing["boxes"])
    return frame(drawing["title"], width, 120 + MAP_Y, parts)


def between(source: tuple[float, float], target: tuple[float, float], words: str) -> list[str]:
    """Draw an arrow from the edge of a box to the edge of another."""
    (x1, y1), (x2, y2) = source, target
    across, down = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
    if across and down:
        across = 0  # leaves and arrives by the short sides
    start = (x1 + across * BOX_WIDTH / 2, y1 + down * BOX_HEIGHT / 2)
    end = (x2 - across * (BOX_WIDTH / 2 + 2), y2 - down * (BOX_HEIGHT / 2 + 2))
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - (8 if start[1] == end[1] else 0))
    return [arrow(*start, *end), label(*middle, words)]


def pictures() -> dict[Path, str]:
    """Give the text of every picture."""
    drawings = tomllib.loads((ROOT / "hack/drawings.toml").read_text())
    return {
        ROOT / f"docs/images/{name}.svg": story(drawing) if "steps" in drawing else chart(drawing)
        for name, drawing in drawings.items()
    }


def main(arguments: list[str]) -> int:
    """Write the pictures, or compare them."""
    made = pictures()
    if "--check" not in arguments:
        for path, picture in made.items():
            path.write_text(picture)
        return 0
    old = [
        path for path, picture in made.items() if not path.exists() or path.read_text() != picture
    ]
    for path in old:
        sys.stderr.write(f"{path.name} is not up to date: run make docs\n")
    return int(bool(old))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
