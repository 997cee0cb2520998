"""A manifest becomes a spec, or a refusal that names the field."""

from typing import Any

import pytest
from tests.support.manifests import body

from queueworker_operator.decision.model import (
    Fallback,
    Mode,
    Objective,
    Policy,
    Saturation,
)
from queueworker_operator.errors import InvalidResource
from queueworker_operator.resource import (
    grace_s_of,
    parse,
    slots_of,
)


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
