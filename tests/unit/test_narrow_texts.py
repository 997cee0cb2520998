"""In a narrow terminal the texts of `why` and `status` break and lose nothing; wide ones stay as they are."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from tests.support.patient import NOW_S, body
from tests.support.samples import QUIET

from queueworker_operator.cli.explain import Line, line_of, show, show_one
from queueworker_operator.cli.worked import text_of
from queueworker_operator.controller.record import Verdict, to_json
from queueworker_operator.decision.decide import decide
from queueworker_operator.decision.model import Mode, Policy, Replicas
from queueworker_operator.decision.state import State
from queueworker_operator.lag.postgres import RecordedDecision
from queueworker_operator.plugin.summary import summary

NARROW = [40, 44, 52, 60]
STYLE = re.compile(r"\x1b\[[\d;]*m")
LONG_NAME = "a-deployment-whose-name-is-longer-than-a-narrow-terminal-is-wide"
STATUS = {
    "observedGeneration": 0,
    "replicas": {"desired": 4, "current": 4, "ready": 2, "starting": 1, "draining": 1},
    "lastDecision": {
        "time": "2026-01-01T00:00:00Z",
        "message": "3->4: 31 waiting (oldest 3s) + 12.5/s arriving x 1.5s/job",
    },
    "conditions": [
        {"type": "Ready", "status": "False", "reason": "MetricsUnavailable", "message": "no route"},
        {"type": "MetricsAvailable", "status": "Unknown", "reason": "AsExpected", "message": ""},
    ],
}
Output = pytest.CaptureFixture[str]


def record(ready: float = 412, policy: Policy | None = None) -> dict[str, Any]:
    policy, replicas = policy or Policy(), Replicas(current=0)
    sample = replace(QUIET, at_s=1000.0, ready=ready, oldest_age_s=2.0, enqueued_total=ready)
    decision, _ = decide(policy, State(), sample, replicas)
    verdict = Verdict(
        policy=policy, state=State(), sample=sample, replicas=replicas, decision=decision
    )
    return to_json(verdict, decision.desired)


RECORDS = {
    "a burst": record(),
    "millions": record(3_000_000, Policy(max_replicas=9_000)),
    "paused": record(policy=Policy(mode=Mode.PAUSED)),
    "not to be read": record() | {"state": {"version": 0}},
}


def lines(*, replay: bool = True) -> list[Line]:
    recorded = [
        RecordedDecision(id=number, at_s=NOW_S, record=record(10 * number)) for number in (7, 41)
    ]
    return [line_of(entry, again=replay) for entry in recorded]


def words(text: str) -> Counter[str]:
    return Counter(text.split())


def assert_fits(text: str, width: int, whole: str) -> None:
    assert max(map(len, text.splitlines())) <= width, text
    assert words(whole) - words(text) == Counter(), text


def on_a_terminal(patch: pytest.MonkeyPatch, columns: int) -> None:
    patch.setenv("COLUMNS", str(columns))
    patch.setenv("FORCE_COLOR", "1")
    patch.setenv("TERM", "xterm")


@pytest.mark.parametrize("width", NARROW)
@pytest.mark.parametrize("name", RECORDS)
def test_a_decision_worked_out_fits(width: int, name: str) -> None:
    message = RECORDS[name]["decision"]["message"]

    text = text_of(RECORDS[name], message, width)

    assert_fits(text, width, text_of(RECORDS[name], message))
    assert ("It cannot be worked out" in text) == (name == "not to be read")


def test_a_deadline_missed_with_one_fewer_is_still_marked() -> None:
    wide, narrow = (text_of(RECORDS["a burst"], "", width).splitlines() for width in (80, 44))
    marked = [line for line in narrow if line.endswith("  <")]

    assert len(marked) == sum(line.endswith("  <") for line in wide) > 0
    assert all("K " in line for line in marked)


@pytest.mark.parametrize("width", NARROW)
def test_a_status_fits(width: int) -> None:
    shown = body(STATUS)

    assert_fits("\n".join(summary(shown, NOW_S, width)), width, "\n".join(summary(shown, NOW_S)))


def test_a_name_longer_than_a_line_breaks_and_keeps_its_letters() -> None:
    shown = body(STATUS, scaleTargetRef={"name": LONG_NAME})

    text = "\n".join(summary(shown, NOW_S, 44))

    assert max(map(len, text.splitlines())) <= 44
    assert LONG_NAME in "".join(text.split())


@pytest.mark.parametrize("width", NARROW)
@pytest.mark.parametrize("replayed", [False, True])
def test_the_decisions_fit_with_their_texts_under_them(
    width: int, replayed: bool, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch, 200)
    show(lines(replay=replayed), replayed=replayed)
    table = STYLE.sub("", capsys.readouterr().out)
    on_a_terminal(monkeypatch, width)

    show(lines(replay=replayed), replayed=replayed)

    text = STYLE.sub("", capsys.readouterr().out)
    assert_fits(text, width, table)
    assert text.split()[:5] == ["ID", "TIME", "REPLICAS", "REASON", "MESSAGE"]
    assert "41  2026-01-01T00:00:00Z  " in text


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_from_80_columns_on_one_decision_looks_the_same_and_the_decisions_are_a_table(
    columns: int, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_terminal(monkeypatch, columns)
    [_, line], entry = lines(), RecordedDecision(id=41, at_s=NOW_S, record=record(410))

    show_one("shop/mail", entry, line)
    one = capsys.readouterr().out
    show(lines(), replayed=True)
    several = STYLE.sub("", capsys.readouterr().out)

    assert text_of(entry.record, line.message) in one
    assert several.splitlines()[0].split() == [
        "ID",
        "TIME",
        "REPLICAS",
        "REASON",
        "MESSAGE",
        "REPLAY",
    ]


def test_one_decision_takes_the_width_of_the_terminal(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    [_, line], entry = lines(), RecordedDecision(id=41, at_s=NOW_S, record=record(410))
    on_a_terminal(monkeypatch, 80)
    show_one("shop/mail", entry, line)
    whole = capsys.readouterr().out
    on_a_terminal(monkeypatch, 44)

    show_one("shop/mail", entry, line)

    assert_fits(capsys.readouterr().out, 44, whole)
