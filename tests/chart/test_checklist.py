"""The checklist of the chart names, point by point, a test that exists."""

import ast
import re
from pathlib import Path

from tests.support.chart import ROOT

PAGE = ROOT / "docs/reference/chart-checklist.md"
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
TEST = re.compile(r"\[`(test_\w+)`\]\(\.\./\.\./(tests/[\w/]+\.py)\)")
POINTS = 24


def rows() -> list[tuple[str, ...]]:
    return [match.groups() for match in ROW.finditer(PAGE.read_text())]


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_points_are_numbered_from_1_to_24() -> None:
    assert [int(number) for number, *_ in rows()] == list(range(1, POINTS + 1))


def test_every_point_is_proved_by_tests_that_exist() -> None:
    for number, _, use, proof in rows():
        named = TEST.findall(proof)
        assert use.strip(), number
        assert named, number
        assert proof.strip() == ", ".join(f"[`{n}`](../../{p})" for n, p in named), number
        for name, path in named:
            assert name in names_in(ROOT / path), (number, name)
