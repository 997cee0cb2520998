"""Kubernetes Events: for each change of replicas, each new reason to worry, each rival found."""

from typing import Any

from queueworker_operator.decision.model import Decision, Reason
from queueworker_operator.resource.conditions import Trouble
from queueworker_operator.resource.kind import GROUP, KIND, VERSION
from queueworker_operator.resource.spec import ResourceSpec

COMPONENT = "queueworker-operator"
LONGEST_MESSAGE = 1024  # the API server refuses longer ones
LONGEST_NAME = 230  # of 253; a suffix follows
WARNINGS = {
    Reason.MAX_REPLICAS,
    Reason.NO_METRICS,
    Reason.PODS_NOT_STARTING,
    Reason.SATURATED,
    Reason.FALLBACK,
}


def decision_event(spec: ResourceSpec, decision: Decision, now: str, suffix: str) -> dict[str, Any]:
    """Tell a change of replicas in the decision's own words."""
    warning = decision.reason in WARNINGS
    return _event(spec, (decision.reason.value, decision.message, warning), now, suffix)


def trouble_event(spec: ResourceSpec, trouble: Trouble, now: str, suffix: str) -> dict[str, Any]:
    """Tell that the operator stands back, and for whom."""
    return _event(spec, (trouble.reason.value, trouble.message, True), now, suffix)


def _event(
    spec: ResourceSpec, story: tuple[str, str, bool], now: str, suffix: str
) -> dict[str, Any]:
    reason, message, warning = story
    name = spec.name[:LONGEST_NAME].rstrip("-.")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{suffix}", "namespace": spec.namespace},
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": spec.namespace,
            "name": spec.name,
            "uid": spec.uid,
        },
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": message[:LONGEST_MESSAGE],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
