"""Which QueueWorkers stand in each other's way. The older one goes on, the younger ones wait."""

from collections.abc import Iterable
from dataclasses import dataclass

from queueworker_operator.resource.conditions import Condition, ConditionReason, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one QueueWorker wants for itself. `database` None: not known (yet)."""

    key: str
    created_at: str
    target: tuple[str, str]
    database: str | None
    queues: tuple[str, ...]


def find_conflicts(claims: Iterable[Claim]) -> dict[str, Trouble]:
    """Name the QueueWorkers that must not act, each with the one it yields to."""
    targets: dict[tuple[str, str], str] = {}
    queues: dict[tuple[str, str], str] = {}
    found: dict[str, Trouble] = {}
    for claim in sorted(claims, key=lambda claim: (claim.created_at, claim.key)):
        trouble = _trouble(claim, targets, queues)
        if trouble is not None:
            found[claim.key] = trouble
            continue
        targets[claim.target] = claim.key
        if claim.database is not None:
            queues.update({(claim.database, queue): claim.key for queue in claim.queues})
    return found


def _trouble(
    claim: Claim, targets: dict[tuple[str, str], str], queues: dict[tuple[str, str], str]
) -> Trouble | None:
    if owner := targets.get(claim.target):
        return Trouble(
            condition=Condition.CONFLICTED,
            reason=ConditionReason.DUPLICATE_TARGET,
            message=f"{owner} is older and scales deployment {claim.target[1]} already: "
            "delete one of the two",
        )
    for queue in claim.queues:
        if owner := queues.get((claim.database or "", queue)):
            return Trouble(
                condition=Condition.CONFLICTED,
                reason=ConditionReason.OVERLAPPING_QUEUES,
                message=f"{owner} is older and scales for queue {queue} already: "
                "take the queue out of one of the two",
            )
    return None
