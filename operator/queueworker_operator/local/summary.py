"""PURE: what a run came to: every job once, how late, at what cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from queueworker_operator.local.history import ScaleEvent
from queueworker_operator.local.replay import Run

DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Seconds from enqueue to the first start, over the jobs that started."""

    p50_s: float
    p95_s: float
    p99_s: float
    longest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of the jobs that were enqueued, checked against the tasks' own ledger.

    `lost` jobs are neither in the queue nor in the ledger; `unfinished` ones are still waiting.
    """

    planned: int
    jobs: int
    completed_once: int
    run_twice: int
    lost: int
    unfinished: int
    dead: int
    late_percent: float | None
    waits: Waits | None

    @property
    def all_once(self) -> bool:
        """Tell whether every planned job ran exactly once."""
        return self.planned == self.jobs == self.completed_once


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Worker-seconds, against a fleet of the largest size for the whole time."""

    duration_s: float
    max_workers: int
    worker_seconds: float

    @property
    def fixed_worker_seconds(self) -> float:
        """Give what `max_workers` would have cost all the time."""
        return self.duration_s * self.max_workers

    @property
    def saved_percent(self) -> float:
        """Give the share of that which was not spent."""
        fixed = self.fixed_worker_seconds
        return 100.0 * (1 - self.worker_seconds / fixed) if fixed else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The end of a run. `account` is None when nothing was replayed or no ledger was kept.

    `late_percent` is of the jobs that started, None where none did; `waiting` ones did not.

    `complete` tells that all planned jobs were enqueued and none is left in the queue.
    """

    account: Account | None
    complete: bool
    cost: Cost
    late_percent: float | None
    start_within_s: float
    finished: int
    waiting: int
    oldest_s: float
    events: tuple[ScaleEvent, ...]
    trace: str | None
    interrupted: bool

    @property
    def is_good(self) -> bool:
        """Tell whether nothing is left to explain: every job ran, each exactly once."""
        return self.complete and (self.account is None or self.account.all_once)


def account_of(
    enqueued_at_s: Mapping[int, float],
    ledger: Mapping[int, Run],
    states: Mapping[int, str],
    *,
    planned: int,
    start_within_s: float,
) -> Account:
    """Compare what was enqueued with what the ledger and the queue hold."""
    starts = {job: ledger[job].starts if job in ledger else 0 for job in enqueued_at_s}
    waits_s = sorted(
        max(0.0, ledger[job].first_start_s - at_s)
        for job, at_s in enqueued_at_s.items()
        if job in ledger
    )
    left = [states[job] for job in enqueued_at_s if job in states]
    late = sum(wait_s > start_within_s for wait_s in waits_s)
    return Account(
        planned=planned,
        jobs=len(starts),
        completed_once=sum(n == 1 and job not in states for job, n in starts.items()),
        run_twice=sum(n > 1 for n in starts.values()),
        lost=sum(n == 0 and job not in states for job, n in starts.items()),
        unfinished=sum(state != DEAD for state in left),
        dead=sum(state == DEAD for state in left),
        late_percent=100.0 * late / len(waits_s) if waits_s else None,
        waits=_waits(waits_s),
    )


def to_json(summary: Summary) -> dict[str, Any]:
    """Give the summary as JSON-safe values; counts are null where nothing was replayed."""
    account, cost = summary.account, summary.cost
    waits = account.waits if account else None
    return {
        "jobs": account.jobs if account else summary.finished,
        "completed_once": account.completed_once if account else None,
        "lost": account.lost if account else None,
        "run_twice": account.run_twice if account else None,
        "unfinished": account.unfinished if account else None,
        "dead": account.dead if account else None,
        "start_within_s": summary.start_within_s,
        "late_percent": None if summary.late_percent is None else round(summary.late_percent, 3),
        **(
            {f"wait_{name}": round(value, 4) for name, value in asdict(waits).items()}
            if waits
            else {}
        ),
        "worker_seconds": round(cost.worker_seconds, 1),
        "fixed_fleet_worker_seconds": round(cost.fixed_worker_seconds, 1),
        "saved_percent": round(cost.saved_percent, 1),
        "max_workers": cost.max_workers,
        "duration_s": round(cost.duration_s, 1),
        "scale_events": len(summary.events),
        "events": [asdict(event) for event in summary.events],
        "trace": summary.trace,
        "interrupted": summary.interrupted,
    }


def _waits(sorted_s: Sequence[float]) -> Waits | None:
    if not sorted_s:
        return None
    return Waits(
        p50_s=_quantile(sorted_s, 0.50),
        p95_s=_quantile(sorted_s, 0.95),
        p99_s=_quantile(sorted_s, 0.99),
        longest_s=sorted_s[-1],
    )


def _quantile(sorted_s: Sequence[float], share: float) -> float:
    """Give the smallest value that at least `share` of all values do not exceed."""
    return sorted_s[max(0, math.ceil(share * len(sorted_s)) - 1)]
