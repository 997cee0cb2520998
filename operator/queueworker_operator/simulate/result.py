"""PURE: what a run came to."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

FLAP_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One point of the plot; `oldest_s` is the highest since the last one."""

    at_s: float
    backlog: int
    oldest_s: float
    asked: int
    pods: int
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of what was asked for."""

    at_s: float
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one policy: the keys of the JSON."""

    late_fraction: float
    wait_p50_s: float
    wait_p95_s: float
    wait_p99_s: float
    pod_hours: float
    work_pod_hours: float
    cost_ratio: float
    scale_events_per_hour: float
    reversals_per_hour: float
    interrupted_jobs: int
    max_replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One policy's run."""

    policy: str
    jobs: int
    figures: Figures
    changes: tuple[Change, ...]
    moments: tuple[Moment, ...]

    def to_json(self) -> dict[str, object]:
        """Give the figures under their documented names."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self.figures).items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What was counted: waits of all jobs (those never started wait until the end), and pods."""

    waits_s: Sequence[float]
    promise_s: float
    lasts_s: float
    pod_seconds: float
    work_pod_seconds: float
    interrupted: int
    most: int


def figures_of(account: Account, changes: Sequence[Change]) -> Figures:
    """Work the figures out."""
    waits_s, hours = sorted(account.waits_s), account.lasts_s / 3600
    late = sum(wait_s > account.promise_s for wait_s in waits_s)
    return Figures(
        late_fraction=late / max(len(waits_s), 1),
        wait_p50_s=quantile(waits_s, 0.50),
        wait_p95_s=quantile(waits_s, 0.95),
        wait_p99_s=quantile(waits_s, 0.99),
        pod_hours=account.pod_seconds / 3600,
        work_pod_hours=account.work_pod_seconds / 3600,
        cost_ratio=account.pod_seconds / account.work_pod_seconds
        if account.work_pod_seconds
        else 0.0,
        scale_events_per_hour=len(changes) / hours,
        reversals_per_hour=reversals(changes) / hours,
        interrupted_jobs=account.interrupted,
        max_replicas=account.most,
    )


def reversals(changes: Sequence[Change]) -> int:
    """Count scale-ins that a scale-out took back within two minutes."""
    return sum(
        earlier.after < earlier.before
        and later.after > later.before
        and later.at_s - earlier.at_s < FLAP_WITHIN_S
        for earlier, later in pairwise(changes)
    )


def quantile(sorted_s: Sequence[float], share: float) -> float:
    """Give the smallest value that at least `share` of all values do not exceed."""
    return sorted_s[max(0, math.ceil(share * len(sorted_s)) - 1)] if sorted_s else 0.0
