"""A manifest becomes a spec or a refusal; a report becomes a status, its conditions, an event."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.samples import QUIET

from queueworker_operator.decision.model import (
    Bottleneck,
    Decision,
    Fallback,
    Mode,
    Objective,
    Policy,
    Reason,
    Replicas,
    Saturation,
)
from queueworker_operator.errors import InvalidResource
from queueworker_operator.report import Fact, Report
from queueworker_operator.resource import (
    Claim,
    Condition,
    ConditionReason,
    Facts,
    Trouble,
    decision_event,
    find_conflicts,
    grace_s_of,
    parse,
    same_story,
    slots_of,
    status_of,
)

LATER = "2026-01-01T00:01:00Z"
NOW = "2026-01-01T00:00:00Z"


def body(**spec: Any) -> dict[str, Any]:
    wanted = {
        "scaleTargetRef": {"name": "mail-worker"},
        "queues": ["mail"],
        "database": {"secretRef": {"name": "mail-db"}},
    }
    return {
        "metadata": {"namespace": "shop", "name": "mail", "uid": "u", "generation": 3},
        "spec": wanted | spec,
    }


def report(**more: Any) -> Report:
    decision = Decision(desired=9, current=6, reason=Reason.BACKLOG, message="6->9: why")
    sample = replace(QUIET, at_s=1.0, ready=412, oldest_age_s=18.4, running=60)
    whole = {
        "policy": Policy(),
        "generation": 3,
        "decision": decision,
        "sample": sample,
        "replicas": Replicas(current=6, ready=6),
        "scheduled": 7,
    }
    return Report(**(whole | more))


def status(previous: dict[str, Any] | None = None, now: str = NOW, **more: Any) -> dict[str, Any]:
    facts = Facts(generation=3, now=now, report=report(**more), selector="app=mail")
    return status_of(facts, previous or {})


def condition(written: dict[str, Any], kind: Condition) -> dict[str, Any]:
    return next(entry for entry in written["conditions"] if entry["type"] == kind.value)


def test_defaults_are_those_of_the_definition() -> None:
    spec = parse(body())

    assert spec.key == "shop/mail"
    assert spec.secret_key == "dsn"
    assert spec.policy == Policy(start_within_s=30.0, min_replicas=0, max_replicas=10)


def test_every_field_reaches_the_policy() -> None:
    spec = parse(
        body(
            startWithin="1m30s",
            minReplicas=2,
            maxReplicas=50,
            slotsPerPod=4,
            replicas=7,
            mode="DryRun",
            latePercent=2,
            objective="Latency",
            saturation="Spend",
            fallback={"replicas": 6, "after": "2m"},
        )
    )

    assert spec.policy == Policy(
        start_within_s=90.0,
        min_replicas=2,
        max_replicas=50,
        slots_per_pod=4,
        replicas=7,
        mode=Mode.DRY_RUN,
        late_percent=2.0,
        objective=Objective.LATENCY,
        saturation=Saturation.SPEND,
        fallback=Fallback(replicas=6, after_s=120.0),
    )


def test_a_fallback_waits_a_minute_when_it_does_not_say_how_long() -> None:
    policy = parse(body(fallback={"replicas": 3})).policy

    assert policy.fallback == Fallback(replicas=3, after_s=60.0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"minReplicas": 9, "maxReplicas": 3}, "spec.minReplicas 9 is more than"),
        ({"maxReplicas": 0}, "spec.maxReplicas must be a whole number from 1"),
        ({"maxReplicas": True}, "spec.maxReplicas must be a whole number"),
        ({"minReplicas": 1.5}, "spec.minReplicas must be a whole number"),
        ({"replicas": -1}, "spec.replicas must be a whole number"),
        ({"startWithin": "soon"}, "is not a duration: write 30s"),
        ({"startWithin": "0s"}, "must lie between 1s and 24h"),
        ({"startWithin": 30}, "spec.startWithin must be a text"),
        ({"startWithin": "9" * 10_000 + "s"}, "is not a duration"),
        ({"queues": []}, "must list 1 to 16"),
        ({"queues": ["a", "a"]}, "names a queue twice"),
        ({"queues": [""]}, "holds names of 1 to"),
        ({"queues": [None]}, "holds names of 1 to"),
        ({"queues": "mail"}, "must list 1 to 16"),
        ({"mode": "Off"}, "spec.mode must be Auto, DryRun or Paused"),
        ({"objective": "Cost"}, "spec.objective must be Balanced or Latency"),
        ({"saturation": True}, "spec.saturation must be a text"),
        ({"latePercent": 0}, "spec.latePercent must be a number from 0.01 to 50"),
        ({"latePercent": "1"}, "spec.latePercent must be a number from 0.01 to 50"),
        ({"latePercent": float("nan")}, "spec.latePercent must be a number from 0.01 to 50"),
        ({"latePercent": True}, "spec.latePercent must be a number from 0.01 to 50"),
        ({"fallback": 6}, "spec.fallback is missing or not an object"),
        ({"fallback": {"after": "1m"}}, "spec.fallback.replicas is missing"),
        ({"fallback": {"replicas": 0}}, "replicas must be a whole number from 1 to 10000"),
        ({"fallback": {"replicas": 3, "after": "25h"}}, "spec.fallback.after must lie between"),
        ({"scaleTargetRef": {"kind": "StatefulSet", "name": "x"}}, "must be a Deployment"),
        ({"scaleTargetRef": {}}, "spec.scaleTargetRef.name must be a text"),
        ({"scaleTargetRef": None}, "spec.scaleTargetRef is missing"),
        ({"database": {}}, "spec.database.secretRef is missing"),
        ({"database": {"secretRef": {"name": ""}}}, "secretRef.name must be a text"),
        ({"database": {"secretRef": {"name": "../../b/secrets/x"}}}, "must be a name of lower"),
        ({"scaleTargetRef": {"name": "x/../../y"}}, "must be a name of lower-case"),
        ({"queues": ["mail;"]}, "holds names of letters"),
    ],
)
def test_an_invalid_field_is_named_with_the_remedy(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidResource, match=message):
        parse(body(**spec))


@pytest.mark.parametrize("broken", [{}, {"spec": None}, {"metadata": {}, "spec": []}])
def test_a_body_without_a_spec_is_refused_not_a_crash(broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidResource):
        parse(broken)


@pytest.mark.parametrize(
    ("container", "slots"),
    [
        ({"args": ["worker", "--concurrency", "7"]}, 7),
        ({"command": ["queueworker", "worker", "--concurrency=8"]}, 8),
        ({"env": [{"name": "QUEUEWORKER_CONCURRENCY", "value": "9"}]}, 9),
        ({"env": [{"name": "QUEUEWORKER_CONCURRENCY", "valueFrom": {}}]}, None),
        ({"args": ["--concurrency"]}, None),
        ({"args": ["--concurrency", "many"]}, None),
        ({"args": ["--concurrency", "9" * 5000]}, None),
        ({}, None),
    ],
)
def test_slots_come_from_the_pod_template(container: dict[str, Any], slots: int | None) -> None:
    pods = {"containers": [{"name": "sidecar"}, container], "terminationGracePeriodSeconds": 40}

    deployment = {"spec": {"template": {"spec": pods}}}

    assert slots_of(deployment) == slots
    assert grace_s_of(deployment) == 40
    assert grace_s_of({}) == 30


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


def test_an_event_carries_the_decisions_words() -> None:
    decision = Decision(desired=9, current=6, reason=Reason.BACKLOG, message="6->9: " + "x" * 2000)

    event = decision_event(parse(body()), decision, NOW, "suffix")

    assert event["metadata"] == {"name": "mail.suffix", "namespace": "shop"}
    assert event["involvedObject"]["uid"] == "u"
    assert (event["type"], event["reason"]) == ("Normal", "Backlog")
    assert len(event["message"]) == 1024


def test_an_event_of_a_very_long_name_still_has_a_valid_one() -> None:
    long = body() | {"metadata": body()["metadata"] | {"name": "m" * 229 + "-" + "n" * 20}}
    decision = Decision(desired=9, current=6, reason=Reason.BACKLOG, message="6->9")

    event = decision_event(parse(long), decision, NOW, "suffix")

    assert event["metadata"]["name"] == "m" * 229 + ".suffix"


def claim(key: str, created_at: str, target: str, *queues: str, database: str = "db") -> Claim:
    place = ("shop", target)
    return Claim(
        key=key, created_at=created_at, target=place, database=database, queues=tuple(queues)
    )


def test_the_older_claim_wins_and_a_conflicted_one_blocks_nobody() -> None:
    found = find_conflicts(
        [
            claim("shop/c", "3", "other", "b"),
            claim("shop/b", "2", "worker", "b"),
            claim("shop/a", "1", "worker", "a"),
        ]
    )

    assert set(found) == {"shop/b"}
    assert found["shop/b"].reason is ConditionReason.DUPLICATE_TARGET
    assert "shop/a is older" in found["shop/b"].message


def test_the_same_queue_name_in_two_databases_is_no_conflict() -> None:
    claims = [claim("a", "1", "x", "mail"), claim("b", "2", "y", "mail", database="other")]

    assert find_conflicts(claims) == {}


def test_an_overlapping_queue_is_a_conflict() -> None:
    claims = [claim("a", "1", "x", "mail", "reports"), claim("b", "2", "y", "reports")]

    assert find_conflicts(claims)["b"].reason is ConditionReason.OVERLAPPING_QUEUES


def test_a_trouble_from_outside_the_loop_makes_it_not_ready() -> None:
    trouble = Trouble(
        condition=Condition.CONFLICTED, reason=ConditionReason.RIVAL_WRITER, message="argocd"
    )

    written = status_of(Facts(generation=1, now=NOW, troubles=(trouble,)), {})

    assert condition(written, Condition.CONFLICTED)["status"] == "True"
    assert condition(written, Condition.READY)["status"] == "False"
    assert condition(written, Condition.READY)["message"] == "argocd"
