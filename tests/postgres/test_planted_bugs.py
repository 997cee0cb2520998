"""Broken protocols, run by concurrent clients: the checker names the promise that each breaks."""

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest
from tests.support import gauntlet, history, planted, postgres
from tests.support.planted import MORE, PLANTED, Bug, Plant

pytestmark = pytest.mark.postgres

Play = Callable[[Plant], set[str]]
BOUND_S = 30.0


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    """Remember the broken promises of each bug that was run."""
    return {}


@pytest.fixture
def play(server: str, template: str) -> Iterator[Play]:
    """Give a function that plants a bug, runs all clients, and gives the broken promises."""

    def run(plant: Plant) -> set[str]:
        journal = history.Journal()
        with (
            pytest.MonkeyPatch.context() as patch,
            postgres.fresh_database(server, template) as dsn,
            psycopg.connect(dsn, autocommit=True) as conn,
        ):
            history.record(conn)
            plant(conn, patch)
            planted.forget_statements()
            asyncio.run(gauntlet.run(dsn, journal))
            return history.invariants(history.read(conn, journal, bound_s=BOUND_S))

    yield run
    planted.forget_statements()


def catch(bug: Bug, play: Play, found: dict[str, set[str]]) -> set[str]:
    if bug.name not in found:
        found[bug.name] = play(bug.plant)
    return found[bug.name]


def test_the_product_itself_keeps_the_contract(play: Play) -> None:
    assert play(planted.nothing) == set()


@pytest.mark.parametrize("bug", [*PLANTED, *MORE], ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug, play: Play, found: dict[str, set[str]]) -> None:
    assert bug.invariant in catch(bug, play, found)


def test_all_planted_bugs_are_caught(
    play: Play, found: dict[str, set[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    lines, caught = [], 0
    for bug in [*PLANTED, *MORE]:
        broken = catch(bug, play, found)
        lines.append(f"  {bug.invariant}  {bug.name} (all: {' '.join(sorted(broken))})")
        caught += bug in PLANTED and bug.invariant in broken
    more = sum(bug.invariant in found[bug.name] for bug in MORE)
    with capsys.disabled():
        print("", *lines, f"planted bugs caught: {caught} of {len(PLANTED)}", sep="\n")  # noqa: T201
        print(f"and {more} of {len(MORE)} more")  # noqa: T201

    assert (caught, more) == (20, len(MORE))
