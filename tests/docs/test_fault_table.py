"""The fault table names a test for each of its rows."""

import re
from pathlib import Path

import pytest
from tests.faults.__main__ import ALL, FOLDER, Table, main, rows_of, title_of, wanted

PAGE = Path(__file__).parents[2] / "docs/explanation/faults.md"
ROW = re.compile(r"^\| (\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)


def test_each_row_names_the_file_that_tests_it() -> None:
    rows = [(int(number), name) for number, name in ROW.findall(PAGE.read_text())]
    assert [number for number, _ in rows] == list(ALL)
    for number, names in rows:
        files = re.findall(r"`(\w+\.py)`", names)
        assert files, f"row {number} names no test"
        for name in files:
            path = FOLDER / name
            assert path.exists(), f"row {number}: {name} is missing"
            assert number in rows_of(path)
            assert "def test_" in path.read_text()


def test_rows_are_read_from_a_files_name() -> None:
    assert rows_of(Path("test_02_04_sigterm.py")) == [2, 3, 4]
    assert rows_of(Path("test_13_fork.py")) == [13]
    assert rows_of(Path("test_proxy.py")) == []
    assert wanted("6,28-29") == {6, 28, 29}


def test_a_row_without_a_test_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rows", "49"]) != 0
    assert "no test for rows [49]" in capsys.readouterr().out


def test_a_skipped_test_counts_as_failed() -> None:
    table = Table()
    path = FOLDER / "test_13_fork.py"
    table.failed[path.name] = 1
    assert "1 FAILED" in table.lines([path])[1]
    assert title_of(path) in table.lines([path])[1]
