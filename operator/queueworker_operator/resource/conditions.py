"""Conditions: what stands in the way, in one of a few documented words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Condition(StrEnum):
    """The condition types of a QueueWorker; `Ready` sums up."""

    READY = "Ready"
    METRICS_AVAILABLE = "MetricsAvailable"
    SCALING_LIMITED = "ScalingLimited"
    SATURATED = "Saturated"
    WORKERS_HEALTHY = "WorkersHealthy"
    PAUSED = "Paused"
    CONFLICTED = "Conflicted"


class ConditionReason(StrEnum):
    """Words that neither a decision (`Reason`) nor a tick (`Fact`) knows."""

    AS_EXPECTED = "AsExpected"
    INVALID_SPEC = "InvalidSpec"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 a word of the status, not a secret
    SECRET_INVALID = "SecretInvalid"  # noqa: S105 a word of the status, not a secret
    SECRET_UNAVAILABLE = "SecretUnavailable"  # noqa: S105 a word of the status, not a secret
    NO_WORKER_REGISTERED = "NoWorkerRegistered"
    DRY_RUN = "DryRun"
    DUPLICATE_TARGET = "DuplicateTarget"
    OVERLAPPING_QUEUES = "OverlappingQueues"
    RIVAL_WRITER = "RivalWriter"
    SECOND_OPERATOR = "SecondOperator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing to know: the condition it belongs to, why, and the remedy.

    `flips` False only adds reason and message: the condition keeps its good status. `unknown` True:
    whether it holds cannot be told.
    """

    condition: Condition
    reason: StrEnum
    message: str
    flips: bool = True
    unknown: bool = False


TRUE_IS_GOOD = {Condition.READY, Condition.METRICS_AVAILABLE, Condition.WORKERS_HEALTHY}
BLOCKS_READY = (Condition.CONFLICTED, Condition.METRICS_AVAILABLE)
LONGEST_MESSAGE = 1024


def conditions_of(
    troubles: Iterable[Trouble],
    previous: Sequence[Mapping[str, Any]],
    generation: int,
    now: str,
) -> list[dict[str, Any]]:
    """List all conditions; `lastTransitionTime` moves only where the status does."""
    worst: dict[Condition, Trouble] = {}
    for trouble in sorted(troubles, key=lambda trouble: not trouble.flips):
        worst.setdefault(trouble.condition, trouble)
    _sum_up(worst)
    since = {entry.get("type"): entry for entry in previous}
    return [
        _condition(kind, worst.get(kind), since.get(kind.value), (generation, now))
        for kind in Condition
    ]


def _sum_up(worst: dict[Condition, Trouble]) -> None:
    ready = worst.get(Condition.READY)
    blocking = [worst[kind] for kind in BLOCKS_READY if kind in worst and worst[kind].flips]
    if blocking and (ready is None or not ready.flips):
        worst[Condition.READY] = blocking[0]


def _condition(
    kind: Condition,
    trouble: Trouble | None,
    before: Mapping[str, Any] | None,
    stamp: tuple[int, str],
) -> dict[str, Any]:
    generation, now = stamp
    good = trouble is None or not trouble.flips
    status = "True" if good == (kind in TRUE_IS_GOOD) else "False"
    if trouble is not None and trouble.unknown:
        status = "Unknown"
    since = before.get("lastTransitionTime") if before else None
    kept = before is not None and before.get("status") == status
    return {
        "type": kind.value,
        "status": status,
        "reason": trouble.reason.value if trouble else ConditionReason.AS_EXPECTED.value,
        "message": trouble.message[:LONGEST_MESSAGE] if trouble else "",
        "observedGeneration": generation,
        "lastTransitionTime": since if kept and since else now,
    }
