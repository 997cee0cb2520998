"""The page of settings has every variable that the code reads, with its flag, default and bounds."""

import argparse
import re
from pathlib import Path

import pytest

from queueworker.cli.parser import build_parser as worker_parser
from queueworker.compat import override
from queueworker.errors import InvalidSetting
from queueworker.settings import Settings
from queueworker_operator.cli import build_parser as operator_parser
from queueworker_operator.errors import InvalidSettings
from queueworker_operator.settings import Settings as OperatorSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/settings.md").read_text()
ROW = re.compile(
    r"^\| `(?P<name>QUEUEWORKER_\w+)` \| (?P<flag>\S+) \| (?P<default>\S+) \| (?P<bounds>[^|]*) \|",
    re.MULTILINE,
)
ROWS = [match.groupdict() for match in ROW.finditer(PAGE)]
OPERATOR = "QUEUEWORKER_OPERATOR_"
# A mark in the environment of child processes, and the prefix itself: no settings.
NO_SETTINGS = {"QUEUEWORKER_CHILD", "QUEUEWORKER_OPERATOR"}
RANGE = re.compile(r"([\d.]+) to ([\d.]+)")


class Reads(dict[str, str]):
    """An empty environment that notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    @override
    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """Note the name."""
        self.names.add(name)
        return default


def options_of(parser: argparse.ArgumentParser, command: str) -> set[str]:
    (commands,) = (
        action.choices[command]
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return {option for action in commands._actions for option in action.option_strings}


def test_the_page_has_the_variables_that_a_worker_reads_and_no_other() -> None:
    reads = Reads()
    Settings.from_env(reads)

    assert reads.names
    assert {row["name"] for row in ROWS if OPERATOR not in row["name"]} == reads.names


def test_the_page_has_the_variables_that_the_operator_reads_and_no_other() -> None:
    text = (ROOT / "operator/queueworker_operator/settings.py").read_text()
    read = {OPERATOR + name for name in re.findall(r'given\.get\("([A-Z_]+)"', text)}

    assert read
    assert {row["name"] for row in ROWS if OPERATOR in row["name"]} == read


def test_no_module_knows_a_variable_that_the_page_does_not_have() -> None:
    found = {
        name
        for folder in ("worker", "operator")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"QUEUEWORKER_[A-Z_]*[A-Z]", path.read_text())
    }

    assert found - NO_SETTINGS <= {row["name"] for row in ROWS}


def test_the_flags_beside_the_variables_exist() -> None:
    known = {
        False: options_of(worker_parser(), "worker"),
        True: options_of(operator_parser(), "run"),
    }
    for row in ROWS:
        flag = row["flag"].strip("`")
        assert flag == "-" or flag in known[OPERATOR in row["name"]], row["name"]
    given = {row["flag"].strip("`") for row in ROWS if OPERATOR not in row["name"]}
    assert known[False] - {"-h", "--help"} <= given


def test_the_defaults_on_the_page_are_the_defaults() -> None:
    shown = {row["name"]: row["default"].strip("`") for row in ROWS if row["default"] != "-"}

    assert len(shown) > 6
    assert Settings.from_env(shown) == Settings.from_env({})
    assert OperatorSettings.from_env(shown) == OperatorSettings.from_env({})


@pytest.mark.parametrize(
    "row", [row for row in ROWS if RANGE.search(row["bounds"])], ids=lambda row: str(row["name"])
)
def test_the_bounds_on_the_page_are_the_bounds(row: dict[str, str]) -> None:
    (bounds,) = RANGE.findall(row["bounds"])
    is_operator = OPERATOR in row["name"]
    read = OperatorSettings.from_env if is_operator else Settings.from_env
    for text in bounds:
        read({row["name"]: text})
    beyond = str(int(float(bounds[1])) + 1)
    with pytest.raises((InvalidSetting, InvalidSettings), match=row["name"]):
        read({row["name"]: beyond})
