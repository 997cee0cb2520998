"""What two readings of a queue tell: rates, waits, and when the backlog will be gone. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from queueworker.store import LagRow
from queueworker.waits import WAIT_EDGES_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How a queue moved between two readings; None is unknown, infinity is never.

    Arrivals are jobs made ready, retries among them; throughput is attempts that ended.
    """

    over_s: float
    arrivals_per_s: float | None = None
    throughput_per_s: float | None = None
    wait_p50_s: float | None = None
    wait_p95_s: float | None = None
    service_s: float | None = None
    drain_in_s: float | None = None


def flow(earlier: LagRow, later: LagRow) -> Flow:
    """Compare two readings of one queue."""
    over_s = (later.sampled_at - earlier.sampled_at).total_seconds()
    arrived, ended = _arrived(later) - _arrived(earlier), _ended(later) - _ended(earlier)
    if over_s <= 0 or arrived < 0 or ended < 0:
        # The counters began anew: a restored database, or a queue made again.
        return Flow(over_s=max(0.0, over_s))
    waits = [b - a for a, b in zip(earlier.wait_histogram, later.wait_histogram, strict=True)]
    service_s = mean_service_s(earlier, later)
    return Flow(
        over_s=over_s,
        arrivals_per_s=arrived / over_s,
        throughput_per_s=ended / over_s,
        wait_p50_s=quantile_s(waits, 0.5),
        wait_p95_s=quantile_s(waits, 0.95),
        service_s=service_s,
        drain_in_s=drain_in_s(later, arrived / over_s, ended / over_s, service_s),
    )


def mean_service_s(earlier: LagRow, later: LagRow) -> float | None:
    """Give the mean service time between the readings, or of all time where nothing ended."""
    count = later.service_count - earlier.service_count
    if count > 0:
        return (later.service_sum_s - earlier.service_sum_s) / count
    return later.service_sum_s / later.service_count if later.service_count else None


def drain_in_s(
    row: LagRow, arrivals_per_s: float, throughput_per_s: float, service_s: float | None
) -> float | None:
    """Estimate when the backlog is gone: its size by what leaves more than comes."""
    if not row.ready:
        return 0.0
    if row.paused or row.workers <= row.draining_workers:
        return math.inf
    if not throughput_per_s:
        # Longer jobs than the time between the readings: what runs ends at its usual rate.
        if not service_s or not row.busy_slots:
            return None
        throughput_per_s = row.busy_slots / service_s
    shrinking_per_s = throughput_per_s - arrivals_per_s
    return row.ready / shrinking_per_s if shrinking_per_s > 0 else math.inf


def quantile_s(counts: Sequence[int], share: float) -> float | None:
    """Give a quantile of a wait histogram, linear inside a bucket; infinite beyond the last edge."""
    total = sum(counts)
    if total <= 0:
        return None
    wanted = share * total
    sums = list(accumulate(counts))
    bucket = next(index for index, reached in enumerate(sums) if reached >= wanted)
    if bucket >= len(WAIT_EDGES_S):
        return math.inf
    lower_s = WAIT_EDGES_S[bucket - 1] if bucket else 0.0
    before = sums[bucket] - counts[bucket]
    return lower_s + (WAIT_EDGES_S[bucket] - lower_s) * (wanted - before) / counts[bucket]


def _arrived(row: LagRow) -> int:
    return row.enqueued_total + row.promoted_total


def _ended(row: LagRow) -> int:
    return row.succeeded_total + row.failed_total
