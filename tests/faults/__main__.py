"""`python -m tests.faults`: every row of the fault table once, and a line for each.

`python -m tests.faults --rows 6,28-29` runs some; rows from 31 on need the programs of `make tools`.
Random mixes: `python -m tests.faults.mix`. Full lengths: `python -m tests.faults.operator`.
"""

import argparse
import ast
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ALL = range(1, 49)
ROWS = re.compile(r"^test_((?:\d\d_)+)")


def rows_of(path: Path) -> list[int]:
    """Read the rows from a file's name: `test_02_04_sigterm.py` has rows 2 to 4."""
    match = ROWS.match(path.name)
    if match is None:
        return []
    numbers = [int(text) for text in match[1].strip("_").split("_")]
    return list(range(numbers[0], numbers[-1] + 1))


def title_of(path: Path) -> str:
    """Read what a file is about from its first line."""
    text = ast.get_docstring(ast.parse(path.read_text())) or path.stem
    return re.sub(r"^Rows? [0-9, and to-]+: ", "", text.splitlines()[0])


class Table:
    """Collects times and results by file."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.passed: dict[str, int] = {}
        self.failed: dict[str, int] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = Path(report.location[0]).name
        self.seconds[name] = self.seconds.get(name, 0.0) + report.duration
        # A test that is skipped proves nothing: it counts as failed here.
        if report.failed or report.skipped:
            self.failed[name] = self.failed.get(name, 0) + 1
        elif report.when == "call":
            self.passed[name] = self.passed.get(name, 0) + 1

    def lines(self, paths: Sequence[Path]) -> list[str]:
        lines = [f"{'row':7s} {'seconds':>7s}  {'result':14s} fault"]
        for path in paths:
            rows = rows_of(path)
            row = "-" if not rows else f"{rows[0]}-{rows[-1]}" if len(rows) > 1 else str(rows[0])
            failed, passed = self.failed.get(path.name, 0), self.passed.get(path.name, 0)
            result = f"{failed} FAILED" if failed else f"{passed} passed" if passed else "NOT RUN"
            seconds = self.seconds.get(path.name, 0.0)
            lines.append(f"{row:7s} {seconds:7.1f}  {result:14s} {title_of(path)}")
        return lines


def wanted(text: str | None) -> set[int]:
    """Read `6,28-29`; nothing means all."""
    if not text:
        return set(ALL)
    rows: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        rows |= set(range(int(first), int(last or first) + 1))
    return rows


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rows", help="6,28-29; all by default")
    rows = wanted(parser.parse_args(arguments).rows)
    is_whole = rows == set(ALL)
    files = sorted(FOLDER.glob("test_*.py"))
    chosen = [
        path for path in files if rows & set(rows_of(path)) or (is_whole and not rows_of(path))
    ]
    table, began_s = Table(), time.monotonic()
    # Without a path, pytest would run everything there is.
    command = ["-q", "--no-header", *map(str, chosen)]
    status = int(pytest.main(command, plugins=[table])) if chosen else 1
    print("\n".join(["", *table.lines(chosen)]))
    covered = {row for path in chosen for row in rows_of(path)}
    missing = sorted(rows - covered)
    if missing:
        print(f"no test for rows {missing}")
    failures = sum(table.failed.values())
    print(f"{len(covered)} rows, {failures} failures, {time.monotonic() - began_s:.0f} s")
    return status or bool(missing) or bool(failures)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
