"""The tree keeps its shape."""

import ast
import operator
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path
    for folder in ("operator", "worker", "benchmarks")
    for path in ROOT.glob(f"{folder}/**/*.py")
)
TESTS = sorted(ROOT.glob("tests/**/*.py"))
# Support that is over the bound still: no more modules, and none of these longer than it is.
LONG_SUPPORT = {
    "tests/support/controlplane.py": 325,
    "tests/support/fluid.py": 268,
    "tests/support/gauntlet.py": 445,
    "tests/support/ledger_tasks.py": 284,
    "tests/support/machine.py": 537,
    "tests/support/planted.py": 349,
}
BANNED_MODULE_NAMES = {"utils", "helpers", "helper", "common", "misc", "manager", "data", "info"}
BANNED_FUNCTION_PREFIXES = ("do_", "process_")
MAX_MODULE_LINES = 250
MAX_FUNCTION_LINES = 40


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_the_standard_library_operator_is_not_shadowed() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert operator.add(1, 2) == 3


def test_there_are_modules_to_check() -> None:
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    too_long = [
        f"{function.name} ({(function.end_lineno or 0) - function.lineno + 1} lines)"
        for function in functions_of(path)
        if (function.end_lineno or 0) - function.lineno + 1 > MAX_FUNCTION_LINES
    ]

    assert len(path.read_text().splitlines()) <= MAX_MODULE_LINES
    assert too_long == []


def test_modules_of_tests_stay_small() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in TESTS}
    long = {name for name, count in lines.items() if count > MAX_MODULE_LINES}

    assert len(lines) > 200
    assert long == set(LONG_SUPPORT)
    assert [name for name in long if lines[name] > LONG_SUPPORT[name]] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_are_the_fields_words(path: Path) -> None:
    names = [function.name for function in functions_of(path)]

    assert path.stem not in BANNED_MODULE_NAMES
    assert [name for name in names if name.startswith(BANNED_FUNCTION_PREFIXES)] == []


# A value and a plural: `counted` of the packages' `text` writes them. Not meant are constants (CAPITALS),
# fractions (.2f), and what stands behind another number: 3/4 slots, 0 to 5 replicas.
COUNTED = re.compile(
    r"(?<!/)(?<! to )(\{[^{}]*[a-z)\]][^{}]*(?<!\.[1-9]f)\}|%d) "
    r"((ready|dead|live|running|finished|more|new) )?"
    r"(jobs|pods|workers|replicas|checks|letters|slots|results|decisions|partitions|samples|attempts"
    r"|queues|tasks|leases|errors|rows|hours|minutes)\b"
)


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if ROOT / "benchmarks" not in path.parents],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_number_and_its_noun_agree(path: Path) -> None:
    found = [
        line
        for line in path.read_text().splitlines()
        if (match := COUNTED.search(line)) and "counted(" not in match[1]
    ]

    assert found == []


def test_the_resource_definition_has_one_copy_and_the_chart_bears_it_as_a_file() -> None:
    name = "queueworkers.queueworker.dev.yaml"
    original, copy = ROOT / "crds" / name, ROOT / "charts/queueworker/files" / name
    found = [path for path in ROOT.glob(f"**/*{name}") if not {".venv", ".cache"} & {*path.parts}]

    assert sorted(found) == sorted([original, copy])
    assert copy.read_bytes() == original.read_bytes()  # else: make docs


def test_no_file_of_the_chart_is_a_link() -> None:
    """Flux leaves links out of what it fetches from git, without a word (fluxcd/flux2#4088)."""
    assert [path for path in ROOT.glob("charts/**/*") if path.is_symlink()] == []
