"""PURE: how a QueueWorker does, from its status, in so many columns."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from queueworker_operator.cli.worked import WIDTH, pairs, wrapped
from queueworker_operator.plugin.tree import age, backlog_of, ready_of

Body = Mapping[str, Any]
UNSEEN = "The operator has not looked at the newest change of the spec yet."


def summary(body: Body, now_s: float, width: int = WIDTH) -> Iterator[str]:
    """Write what there is to know."""
    meta, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    yield wrapped(f"{meta['namespace']}/{meta['name']}: {ready_of(status)}", width=width)
    yield from pairs(tuple(_figures(spec, status)), width)
    decision = status.get("lastDecision")
    if decision:
        since = age(now_s - datetime.fromisoformat(decision["time"]).timestamp())
        yield wrapped(f"{'decision':<12}{decision['message']} ({since} ago)", "  ", 12, width)
    yield "\nConditions"
    for condition in status.get("conditions") or ():
        message = f": {condition['message']}" if condition.get("message") else ""
        text = f"{condition['type']:<18}{condition['status']:<8}{condition['reason']}{message}"
        yield wrapped(text, "  ", 26, width)
    if status.get("observedGeneration") != meta.get("generation"):
        yield f"\n{wrapped(UNSEEN, width=width)}"


def _figures(spec: Body, status: Body) -> Iterator[tuple[str, str]]:
    bounds = f"{spec.get('minReplicas', 0)} to {spec.get('maxReplicas', 10)} replicas"
    target = f"deployment {spec['scaleTargetRef']['name']}"
    yield "promise", f"start within {spec.get('startWithin', '30s')}, {bounds} of {target}"
    yield "mode", str(spec.get("mode", "Auto"))
    yield "queues", ", ".join(spec["queues"])
    replicas = status.get("replicas")
    if replicas:
        words = ("desired", "current", "ready", "starting", "draining")
        yield "replicas", ", ".join(f"{replicas[word]} {word}" for word in words)
    yield "backlog", backlog_of(status)
    backlog = status.get("backlog") or {}
    if "arrivalsPerSecond" in backlog:
        arrive, service = backlog["arrivalsPerSecond"], backlog["serviceSeconds"]
        start = backlog["startUpSeconds"]
        yield "learned", f"{arrive:g}/s arrive, {service:g}s a job, {start:g}s a start-up"
