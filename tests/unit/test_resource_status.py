"""A report becomes a status and its conditions."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.manifests import NOW
from tests.support.samples import QUIET

from queueworker_operator.decision.model import (
    Bottleneck,
    Decision,
    Mode,
    Policy,
    Reason,
    Replicas,
    Saturation,
)
from queueworker_operator.report import Fact, Report
from queueworker_operator.resource import (
    Condition,
    ConditionReason,
    Facts,
    Trouble,
    same_story,
    status_of,
)

LATER = "2026-01-01T00:01:00Z"


def report(**more: Any) -> Report:
    decision = Decision(desired=9, current=6, reason=Reason.BACKLOG, message="6->9: why")
    sample = replace(QUIET, at_s=1.0, ready=412, oldest_age_s=18.4, running=60)
    whole = Report(
        policy=Policy(),
        generation=3,
        decision=decision,
        sample=sample,
        replicas=Replicas(current=6, ready=6),
        scheduled=7,
    )
    return replace(whole, **more)


def status(previous: dict[str, Any] | None = None, now: str = NOW, **more: Any) -> dict[str, Any]:
    facts = Facts(generation=3, now=now, report=report(**more), selector="app=mail")
    return status_of(facts, previous or {})


def condition(written: dict[str, Any], kind: Condition) -> dict[str, Any]:
    return next(entry for entry in written["conditions"] if entry["type"] == kind.value)


def test_the_status_shows_the_decisions_own_numbers() -> None:
    written = status()

    assert written["observedGeneration"] == 3
    assert written["selector"] == "app=mail"
    assert written["replicas"]["desired"] == 9
    assert written["backlog"]["ready"] == 412
    assert written["backlog"]["scheduled"] == 7
    assert written["lastDecision"] == {
        "time": NOW,
        "from": 6,
        "to": 9,
        "reason": "Backlog",
        "message": "6->9: why",
    }
    assert {entry["type"] for entry in written["conditions"]} == {kind.value for kind in Condition}
    assert condition(written, Condition.READY)["status"] == "True"
    assert condition(written, Condition.PAUSED)["status"] == "False"


def test_a_transition_time_moves_only_with_the_status() -> None:
    first = status()
    again = status(first, LATER)
    lost = status(first, LATER, facts={Fact.METRICS_UNAVAILABLE: "no answer (SQLSTATE 57P01)"})

    assert condition(again, Condition.READY)["lastTransitionTime"] == NOW
    assert condition(lost, Condition.READY)["lastTransitionTime"] == LATER
    assert condition(lost, Condition.PAUSED)["lastTransitionTime"] == NOW
    assert condition(lost, Condition.READY)["reason"] == "MetricsUnavailable"
    assert condition(lost, Condition.METRICS_AVAILABLE)["status"] == "False"


def test_a_missing_sample_keeps_the_last_numbers() -> None:
    first = status()
    lost = status(first, LATER, sample=None, decision=None, replicas=None)

    assert lost["backlog"] == first["backlog"]
    assert lost["lastDecision"] == first["lastDecision"]


@pytest.mark.parametrize(
    ("fact", "kind", "value"),
    [
        (Fact.TARGET_MISSING, Condition.READY, "False"),
        (Fact.ACCESS_REFUSED, Condition.METRICS_AVAILABLE, "False"),
        (Fact.QUEUE_MISSING, Condition.METRICS_AVAILABLE, "True"),
        (Fact.SCALE_IN_BLOCKED, Condition.SCALING_LIMITED, "True"),
        (Fact.GRANT_MISSING, Condition.SCALING_LIMITED, "True"),
        (Fact.UNCLAIMABLE_JOBS, Condition.WORKERS_HEALTHY, "False"),
        (Fact.SLOTS_ASSUMED, Condition.WORKERS_HEALTHY, "True"),
    ],
)
def test_a_fact_reaches_its_condition(fact: Fact, kind: Condition, value: str) -> None:
    told = condition(status(facts={fact: "the remedy"}), kind)

    assert (told["status"], told["reason"], told["message"]) == (value, fact.value, "the remedy")


def test_every_fact_has_a_place() -> None:
    for fact in Fact:
        reasons = {entry["reason"] for entry in status(facts={fact: "x"})["conditions"]}
        assert fact.value in reasons


def test_what_holds_the_user_back_is_told() -> None:
    manual = condition(status(policy=Policy(replicas=4)), Condition.PAUSED)
    dry = condition(status(policy=Policy(mode=Mode.DRY_RUN)), Condition.PAUSED)

    assert (manual["status"], manual["reason"]) == ("True", "ManualReplicas")
    assert (dry["status"], dry["reason"]) == ("True", "DryRun")


def test_reaching_the_maximum_is_a_limit() -> None:
    decision = Decision(desired=10, current=6, reason=Reason.MAX_REPLICAS, message="no more")

    told = condition(status(decision=decision), Condition.SCALING_LIMITED)

    assert (told["status"], told["reason"]) == ("True", "MaxReplicas")


def test_a_shared_bottleneck_is_a_limit() -> None:
    decision = Decision(desired=9, current=9, reason=Reason.SATURATED, message="9: no more")

    told = condition(status(decision=decision), Condition.SCALING_LIMITED)

    assert (told["status"], told["reason"]) == ("True", "Saturated")


@pytest.mark.parametrize(
    ("known", "value", "message"),
    [
        (Bottleneck.HELD, "True", "60 pods finished no more jobs than 9; held there"),
        (Bottleneck.TRYING_MORE, "True", "60 pods finished no more jobs than 9; held there"),
        (Bottleneck.TRYING_FEWER, "True", "60 pods finished no more jobs than 9; held there"),
        (Bottleneck.IN_QUESTION, "Unknown", "60 pods finished no more jobs than 9; held there"),
        (Bottleneck.FALSE_ALARM, "False", "fewer pods finished fewer jobs: more of them help"),
        (Bottleneck.NOT_WATCHED, "Unknown", "the replicas are not chosen by the controller"),
    ],
)
def test_saturation_has_a_condition_of_its_own(known: Bottleneck, value: str, message: str) -> None:
    decision = Decision(
        desired=9,
        current=9,
        reason=Reason.STEADY,
        message="9",
        bottleneck=known,
        bottleneck_told="60 pods finished no more jobs than 9; held there",
    )

    told = condition(status(decision=decision), Condition.SATURATED)

    assert (told["status"], told["reason"], told["message"]) == (value, known.value, message)


def test_pods_that_help_are_as_expected() -> None:
    decision = Decision(
        desired=9, current=9, reason=Reason.STEADY, message="9", bottleneck=Bottleneck.NOT_SEEN
    )

    told = condition(status(decision=decision), Condition.SATURATED)

    assert (told["status"], told["reason"], told["message"]) == ("False", "AsExpected", "")


def test_whether_pods_help_is_unknown_where_nobody_looks() -> None:
    spent = condition(status(policy=Policy(saturation=Saturation.SPEND)), Condition.SATURATED)
    blind = condition(status(sample=None, decision=None), Condition.SATURATED)

    assert (spent["status"], spent["reason"]) == ("Unknown", "NotWatched")
    assert spent["message"].startswith("spec.saturation is Spend")
    assert (blind["status"], blind["reason"]) == ("Unknown", "NotWatched")
    assert blind["message"].startswith("without metrics")


def test_moving_numbers_are_the_same_story_and_a_new_reason_is_not() -> None:
    first = status()
    surplus = Decision(desired=6, current=9, reason=Reason.SURPLUS, message="9->6")

    assert same_story(first, {**first, "backlog": {"ready": 1}})
    assert not same_story(first, status(first, decision=surplus))


def test_an_unchanged_decision_keeps_the_time_of_the_last_change() -> None:
    steady = Decision(desired=9, current=9, reason=Reason.STEADY, message="9: steady")
    first = status(decision=steady)
    again = status(first, LATER, decision=steady)

    assert again["lastDecision"]["time"] == NOW


def test_a_trouble_from_outside_the_loop_makes_it_not_ready() -> None:
    trouble = Trouble(
        condition=Condition.CONFLICTED, reason=ConditionReason.RIVAL_WRITER, message="argocd"
    )

    written = status_of(Facts(generation=1, now=NOW, troubles=(trouble,)), {})

    assert condition(written, Condition.CONFLICTED)["status"] == "True"
    assert condition(written, Condition.READY)["status"] == "False"
    assert condition(written, Condition.READY)["message"] == "argocd"
