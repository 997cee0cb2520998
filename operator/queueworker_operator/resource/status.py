"""A report, and what stands in its way, as the `status` of a QueueWorker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueworker_operator.decision.model import Decision, Replicas, Sample
from queueworker_operator.report import Report
from queueworker_operator.resource.conditions import Trouble, conditions_of
from queueworker_operator.resource.troubles import troubles_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a status is made of. `now` is an RFC 3339 time; a report of None: no tick yet."""

    generation: int
    now: str
    report: Report | None = None
    selector: str | None = None
    troubles: tuple[Trouble, ...] = ()


def status_of(facts: Facts, previous: Mapping[str, Any]) -> dict[str, Any]:
    """Build the whole status; what is not known now keeps its last value."""
    status: dict[str, Any] = {**previous, "observedGeneration": facts.generation}
    troubles = list(facts.troubles)
    if facts.selector is not None:
        status["selector"] = facts.selector
    if facts.report is not None:
        status.update(_told(facts.report, facts.now, previous))
        troubles.extend(troubles_of(facts.report))
    before = previous.get("conditions") or ()
    status["conditions"] = conditions_of(troubles, before, facts.generation, facts.now)
    return status


def same_story(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two statuses differ only in numbers that move all the time."""
    return _story(one) == _story(other)


def _story(status: Mapping[str, Any]) -> tuple[object, ...]:
    replicas = status.get("replicas") or {}
    decision = status.get("lastDecision") or {}
    return (
        status.get("observedGeneration"),
        status.get("selector"),
        tuple(replicas.get(field) for field in ("desired", "current", "ready")),
        tuple(decision.get(field) for field in ("from", "to", "reason")),
        tuple(
            (entry.get("type"), entry.get("status"), entry.get("reason"))
            for entry in status.get("conditions") or ()
        ),
    )


def _told(report: Report, now: str, previous: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if report.replicas is not None:
        told["replicas"] = _replicas(report, report.replicas)
    if report.sample is not None:
        told["backlog"] = _backlog(report, report.sample)
    if report.decision is not None:
        told["lastDecision"] = _last_decision(report.decision, now, previous.get("lastDecision"))
    return told


def _replicas(report: Report, replicas: Replicas) -> dict[str, int]:
    decision = report.decision
    return {
        "desired": replicas.current if decision is None else decision.desired,
        "current": replicas.current if report.written is None else report.written,
        "ready": replicas.ready,
        "starting": len(replicas.starting_ages_s),
        "draining": replicas.draining + report.victims,
    }


def _backlog(report: Report, sample: Sample) -> dict[str, int | float]:
    decision = report.decision
    backlog: dict[str, int | float] = {
        "ready": round(sample.ready),
        "oldestSeconds": round(sample.oldest_age_s),
        "running": round(sample.running),
        "scheduled": report.scheduled,
    }
    if decision is not None:
        backlog["arrivalsPerSecond"] = round(decision.arrival_rate_per_s, 2)
        backlog["serviceSeconds"] = round(decision.service_s, 3)
        backlog["startUpSeconds"] = round(decision.start_up_s, 1)
    return backlog


def _last_decision(
    decision: Decision, now: str, before: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """Keep the last one until the replicas or the reason change: `time` says since when."""
    if before and decision.desired == decision.current:
        repeated = before.get("to") == decision.desired
        if repeated and before.get("reason") == decision.reason.value:
            return before
    return {
        "time": now,
        "from": decision.current,
        "to": decision.desired,
        "reason": decision.reason.value,
        "message": decision.message,
    }
