"""PURE: a KEDA ScaledObject as a policy. What is not modelled is refused, not left out.

Its query is not run: it is taken to count waiting and running jobs, divided by N where it says
`/ N`. A `behavior` replaces the HPA's own limits, as it does there.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from queueworker_operator.errors import InvalidResource
from queueworker_operator.simulate.hpa import Hpa
from queueworker_operator.simulate.keda import Keda

Body = Mapping[str, Any]

KIND = "ScaledObject"
DIVIDED = re.compile(r"/\s*(\d+(?:\.\d+)?)")
MODELLED = {
    "spec": {
        "scaleTargetRef",
        "pollingInterval",
        "cooldownPeriod",
        "minReplicaCount",
        "maxReplicaCount",
        "triggers",
        "advanced",
    },
    "spec.advanced": {"horizontalPodAutoscalerConfig", "restoreToOriginalReplicaCount"},
    "spec.advanced.horizontalPodAutoscalerConfig": {"behavior", "name"},
    "behavior": {"scaleUp", "scaleDown"},
    "behavior.scaleUp": {"stabilizationWindowSeconds", "policies", "selectPolicy"},
    "behavior.scaleDown": {"stabilizationWindowSeconds"},
}
SYNC_S = 15


def read(body: Body, name: str) -> Keda:
    """Give the policy that the ScaledObject `body` describes.

    Raises:
        InvalidResource: it has a part that is not modelled, or a value that cannot be used.
    """
    spec = _mapping(body, "spec", "spec")
    advanced = _mapping(spec, "advanced", "spec.advanced")
    inner = "horizontalPodAutoscalerConfig"
    behavior = _mapping(_mapping(advanced, inner, f"spec.advanced.{inner}"), "behavior", "behavior")
    lowest = int(_number(spec, "minReplicaCount", 0))
    hpa = Hpa(lowest=max(lowest, 1), highest=int(_number(spec, "maxReplicaCount", 100)))
    per_pod, target = _trigger(spec)
    return Keda(
        name=name,
        slots=per_pod,
        hpa=_with_behavior(hpa, behavior),
        target=target,
        lowest=lowest,
        poll_s=_number(spec, "pollingInterval", 30),
        cooldown_s=_number(spec, "cooldownPeriod", 300),
    )


def _trigger(spec: Body) -> tuple[float, float]:
    """Give what the query divides by, and the target."""
    triggers = spec.get("triggers")
    if not isinstance(triggers, list) or len(triggers) != 1:
        raise InvalidResource("a ScaledObject needs one trigger to be simulated: keep one")
    trigger = triggers[0]
    if trigger.get("type") != "postgresql":
        raise InvalidResource(f"a trigger {trigger.get('type')!r} is not modelled: postgresql is")
    fields = trigger.get("metadata") or {}
    divided = DIVIDED.search(str(fields.get("query", "")))
    return float(divided[1]) if divided else 1.0, _number(fields, "targetQueryValue", 1)


def _with_behavior(hpa: Hpa, behavior: Body) -> Hpa:
    down = _mapping(behavior, "scaleDown", "behavior.scaleDown")
    hpa = replace(hpa, down_window_s=_number(down, "stabilizationWindowSeconds", 300))
    if "scaleUp" not in behavior:
        return hpa
    up = _mapping(behavior, "scaleUp", "behavior.scaleUp")
    if _number(up, "stabilizationWindowSeconds", 0) != 0:
        raise InvalidResource("a stabilization of scaleUp is not modelled: set it to 0")
    # With a `scaleUp` but no policies, the API server fills in these.
    rules = up.get("policies") or [{"type": "Percent", "value": 100}, {"type": "Pods", "value": 4}]
    if any(_number(rule, "periodSeconds", SYNC_S) > SYNC_S for rule in rules):
        raise InvalidResource(f"a periodSeconds above {SYNC_S} is not modelled: set it to {SYNC_S}")
    percent = [_number(rule, "value", 0) for rule in rules if rule.get("type") == "Percent"]
    pods = [int(_number(rule, "value", 0)) for rule in rules if rule.get("type") == "Pods"]
    factor = 1 + max(percent, default=0.0) / 100
    return replace(hpa, up_factor=factor, up_least=0, up_more=max(pods, default=0))


def _mapping(parent: Body, field: str, path: str) -> Body:
    value = parent.get(field) or {}
    if not isinstance(value, Mapping):
        raise InvalidResource(f"{path} of a ScaledObject must be an object")
    unknown = set(map(str, value)) - MODELLED.get(path, set(map(str, value)))
    if unknown:
        raise InvalidResource(f"{path}.{min(unknown)} is not modelled: remove it")
    return value


def _number(parent: Body, field: str, default: float) -> float:
    try:
        value = float(parent.get(field, default))
    except (TypeError, ValueError):
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InvalidResource(f"{field} of a ScaledObject must be a number from 0")
    return value
