"""What one tick found out about one QueueWorker: status, events and views are made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from queueworker_operator.decision.model import Decision, Policy, Replicas, Sample


class Fact(StrEnum):
    """Something that a person should know beside the decision: a condition's reason."""

    WAITING = "WaitingForFirstSample"
    METRICS_UNAVAILABLE = "MetricsUnavailable"
    ACCESS_REFUSED = "AccessRefused"
    GRANT_MISSING = "GrantMissing"
    QUEUE_MISSING = "QueueMissing"
    TARGET_MISSING = "TargetMissing"
    TARGET_CONFLICT = "TargetConflict"
    TARGET_UNAVAILABLE = "TargetUnavailable"
    SCALE_IN_BLOCKED = "ScaleInBlocked"
    UNCLAIMABLE_JOBS = "UnclaimableJobs"
    SLOTS_ASSUMED = "SlotsAssumed"
    RESTORING = "RestoringState"
    STEP_FAILED = "StepFailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One tick of one QueueWorker.

    `changed` is True when the desired replicas, the reason or the set of facts differ from the
    last report: write status and an event then, else now and then. `written` is what was asked of
    the target in this tick, None when nothing was written. `victims` counts pods asked to drain.
    `generation` is the one of the spec that `policy` came from.
    """

    policy: Policy
    generation: int
    decision: Decision | None = None
    sample: Sample | None = None
    replicas: Replicas | None = None
    scheduled: int = 0
    dead: int = 0
    paused_queues: tuple[str, ...] = ()
    victims: int = 0
    written: int | None = None
    sample_age_s: float | None = None
    facts: Mapping[Fact, str] = field(default_factory=dict)
    changed: bool = False


class Reporter(Protocol):
    """Where reports go: a status and an event in Kubernetes, a view on one machine."""

    async def report(self, key: str, report: Report) -> None:
        """Take the report of `key` ("namespace/name"); called at every tick, return quickly."""
