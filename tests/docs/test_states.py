"""The drawing of a job's life shows what the code and the database do, no more and no less."""

import re
from pathlib import Path

import pytest
from tests.support.postgres import Connection

from queueworker.job import TransitionKind
from queueworker.statements import statement

PAGE = Path(__file__).parents[2] / "docs/explanation/states.md"
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| `(\w+)` \| ([^|]+) \|$", re.MULTILINE)
WAYS = {"claim", "promote", "rescue", "cancel", "enqueue", "dead_retry", "dead_purge"}
# What the table of arrows says of the row after each kind of write.
COLUMNS = {
    "retry": "pos = NULL",
    "release": "attempt = attempt - 1",
    "release_started": "attempt = attempt - 1",
}


def arrows() -> list[tuple[str, str, str, str]]:
    return [
        (source.strip(), target.strip(), way, text)
        for sources, target, way, text in ROW.findall(PAGE.read_text())
        for source in sources.split(",")
    ]


def test_each_write_of_a_worker_is_an_arrow_from_running_and_each_arrow_is_a_write() -> None:
    from_running = {way for source, _, way, _ in arrows() if source == "running"}
    kinds = {kind.value for kind in TransitionKind}

    assert from_running == (kinds - {TransitionKind.SETTLED.value}) | {"rescue", "cancel"}
    assert f"`{TransitionKind.SETTLED.value}` is no arrow" in PAGE.read_text()
    assert {way for *_, way, _ in arrows()} == from_running | WAYS


def test_the_statement_of_completions_knows_the_kinds_that_are_drawn() -> None:
    text = statement("complete")._obj
    known = set(re.findall(r"'(\w+)'", " ".join(re.findall(r"g\.kind (?:=|IN) [^\n]+", text))))
    drawn = {kind.value for kind in TransitionKind} - {"settled"}

    # A success has a statement of its own.
    assert known | {"succeed"} == drawn
    assert "DELETE" in statement("complete_succeeded")._obj
    for column in COLUMNS.values():
        assert column in text


@pytest.mark.postgres
def test_the_states_of_the_view_are_those_that_are_drawn(conn: Connection) -> None:
    ((text,),) = conn.execute("SELECT pg_get_viewdef('queueworker.jobs'::regclass)").fetchall()
    in_view = set(re.findall(r"'(\w+)'::text", text))
    drawn = {state for source, target, *_ in arrows() for state in (source, target)} - {"(nothing)"}

    assert in_view | {"succeeded", "cancelled"} >= drawn
    assert drawn >= {"ready", "scheduled", "running", "dead", "succeeded", "cancelled"}


def test_the_picture_names_each_state_and_each_way() -> None:
    picture = PAGE.read_text().split("```text\n")[1].split("```")[0]
    for name in ("ready", "scheduled", "running", "succeeded", "dead letter", "cancelled"):
        assert name in picture
    for way in {way for *_, way, _ in arrows()} - {"release_started"}:
        assert way.replace("_", " ") in picture
