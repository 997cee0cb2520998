"""Row 12 at the command line: a payload bomb costs one clear line, no traceback and little time."""

import json
import os
import time
from collections.abc import Callable
from unittest import mock

import pytest
from tests.support.postgres import Connection
from tests.support.worker_process import run_command

from queueworker.cli import main

pytestmark = pytest.mark.postgres

MOST_S = 5.0
MOST_LINE = 400
DEEP = 100_000

# The system bounds an argument of a new process to 128 KiB: larger ones are given to the command itself.
BOMBS: dict[str, tuple[Callable[[], str], str]] = {
    "1 MiB and a byte": (lambda: json.dumps({"a": "x" * (1 << 20)}), "1 MiB"),
    "64 MB": (lambda: json.dumps({"a": "x" * (64 << 20)}), "1 MiB"),
    "300,000 names": (lambda: json.dumps({f"{i}": i for i in range(300_000)}), "1 MiB"),
    "depth 100,000 of lists": (lambda: '{"a": ' + "[" * DEEP + "]" * DEEP + "}", "recursion"),
    "depth 100,000 of objects": (lambda: '{"a":' * DEEP + "1" + "}" * DEEP, "recursion"),
    "depth 65": (lambda: '{"a": ' + "[" * 65 + "]" * 65 + "}", "deep"),
    "depth 100,000, left open": (lambda: '{"a": ' + "[" * DEEP, "recursion"),
    "1e400": (lambda: '{"a": 1e400}', "finite"),
    "minus 1e400 inside": (lambda: '{"a": [{"b": -1e400}]}', "finite"),
    "NaN": (lambda: '{"a": NaN}', "finite"),
    "a number of 100,000 digits": (lambda: '{"a": ' + "9" * DEEP + "}", "digits"),
    "NUL": (lambda: '{"a": "\\u0000"}', "NUL"),
    "NUL in a name": (lambda: '{"a\\u0000": 1}', "NUL"),
    "lone surrogate": (lambda: '{"a": "\\ud800"}', "surrogate"),
    "bytes that are no UTF-8": (lambda: '{"a": "\udcff"}', "surrogate"),
    "a name twice": (lambda: '{"a": 1, "a": 2}', "twice"),
    "a name twice inside": (lambda: '{"a": [{"b": 1, "b": 1}]}', "twice"),
    "a list": (lambda: "[1]", "object"),
    "nothing": (lambda: "", "JSON"),
    "half": (lambda: '{"a": ', "JSON"),
    "two": (lambda: "{} {}", "JSON"),
    "a byte order mark": (lambda: "\ufeff{}", "JSON"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_row_12_the_command_refuses_a_bomb_in_one_line(
    dsn: str, conn: Connection, capsys: pytest.CaptureFixture[str], bomb: str
) -> None:
    make, word = BOMBS[bomb]
    text = make()
    began_s = time.monotonic()
    with mock.patch.dict(os.environ, {"QUEUEWORKER_DSN": dsn}):
        status = main(["enqueue", "--queue", "mail", "--task", "quick", "--args", text])
    took_s = time.monotonic() - began_s
    output, complaint = capsys.readouterr()

    assert status == 1
    assert output == ""
    assert complaint.startswith("queueworker: ")
    assert complaint.count("\n") == 1
    assert len(complaint) <= MOST_LINE
    assert word in complaint
    assert took_s < MOST_S
    assert conn.execute("SELECT count(*) FROM queueworker.job").fetchone() == (0,)


@pytest.mark.parametrize("bomb", ["depth 65", "1e400", "NUL", "lone surrogate", "a name twice"])
def test_row_12_a_process_of_the_command_says_the_same(dsn: str, bomb: str) -> None:
    make, word = BOMBS[bomb]
    done = run_command(dsn, "enqueue", "--queue", "mail", "--task", "quick", "--args", make())

    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert word in done.stderr


NAMES = ("--queue", "--task", "--unique-key")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["x" * 100_000, "a\udcffb"], ids=["long", "no UTF-8"])
def test_a_name_that_is_no_name_is_refused_in_one_line(
    dsn: str, conn: Connection, name: str, text: str
) -> None:
    given = {"--queue": "mail", "--task": "quick", name: text}
    done = run_command(dsn, "enqueue", *(part for pair in given.items() for part in pair))

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) <= MOST_LINE
    assert conn.execute("SELECT count(*) FROM queueworker.job").fetchone() == (0,)


def test_what_is_just_below_the_bounds_is_enqueued(
    dsn: str, conn: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps({"a": "x" * 1_000_000, "b": [0.5, "\u00e9", {"c": {"c": 1}}]})
    with mock.patch.dict(os.environ, {"QUEUEWORKER_DSN": dsn}):
        assert main(["enqueue", "--queue", "mail", "--task", "quick", "--args", text]) == 0

    assert capsys.readouterr().err == ""
    assert conn.execute("SELECT args FROM queueworker.job").fetchall() == [(json.loads(text),)]


def test_a_payload_that_the_terminal_has_no_characters_for_is_shown_all_the_same(
    conn: Connection, dsn: str
) -> None:
    [job] = conn.execute(
        "SELECT queueworker.enqueue('mail', 'send', '{\"to\": \"Zoë\"}')"
    ).fetchone() or [0]

    shown = run_command(dsn, "job", "show", str(job), PYTHONIOENCODING="ascii")

    assert shown.returncode == 0, shown.stderr
    assert "Zo?" in shown.stdout
