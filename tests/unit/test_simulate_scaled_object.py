"""A ScaledObject of one's own is a rival; what the simulation cannot do of it is refused."""

from typing import Any

import pytest

from queueworker_operator.errors import InvalidResource
from queueworker_operator.simulate.hpa import Hpa
from queueworker_operator.simulate.scaled_object import read

QUERY = "SELECT ceil(count(*)::decimal / 16) FROM task_instance WHERE state IN ('queued','running')"


def scaled_object(**spec: Any) -> dict[str, Any]:
    trigger = {"type": "postgresql", "metadata": {"targetQueryValue": "1", "query": QUERY}}
    return {
        "kind": "ScaledObject",
        "spec": {"scaleTargetRef": {"name": "mail"}, "triggers": [trigger], **spec},
    }


def behavior(**parts: Any) -> dict[str, Any]:
    return {"advanced": {"horizontalPodAutoscalerConfig": {"behavior": parts}}}


def test_the_documented_example_has_kedas_defaults() -> None:
    keda = read(scaled_object(), "scaledobject.yaml")

    assert (keda.slots, keda.target, keda.lowest) == (16.0, 1.0, 0)
    assert (keda.poll_s, keda.cooldown_s) == (30.0, 300.0)
    assert keda.hpa == Hpa(lowest=1, highest=100)


def test_what_is_set_is_taken() -> None:
    tuned = scaled_object(
        pollingInterval=1,
        cooldownPeriod=60,
        minReplicaCount=2,
        maxReplicaCount=30,
        **behavior(
            scaleUp={"policies": [{"type": "Percent", "value": 10000, "periodSeconds": 15}]},
            scaleDown={"stabilizationWindowSeconds": 60},
        ),
    )

    keda = read(tuned, "tuned")

    assert (keda.poll_s, keda.cooldown_s, keda.lowest) == (1.0, 60.0, 2)
    assert keda.hpa == Hpa(
        lowest=2, highest=30, down_window_s=60.0, up_factor=101.0, up_least=0, up_more=0
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"triggers": []}, "needs one trigger"),
        ({"triggers": [{"type": "cron"}]}, "a trigger 'cron' is not modelled"),
        ({"fallback": {"replicas": 3}}, "spec.fallback is not modelled: remove it"),
        ({"pollingInterval": "often"}, "pollingInterval of a ScaledObject must be a number"),
        (behavior(scaleUp={"stabilizationWindowSeconds": 30}), "set it to 0"),
        (behavior(scaleUp={"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}), "15"),
        (behavior(scaleDown={"policies": []}), "behavior.scaleDown.policies is not modelled"),
    ],
)
def test_what_is_not_modelled_is_refused(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        read(scaled_object(**spec), "mine")

    assert words in str(refused.value)
