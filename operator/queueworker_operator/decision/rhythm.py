"""Bursts that come by the clock: a fourth one, at the same distance, is no surprise.

Three bursts at two equal distances are taken for a rhythm. The next is then planned for as if it
had been announced, with the mean shape of the last three. It only adds pods; when it does not
come, the rhythm is over until three more have come.
"""

import math
from dataclasses import dataclass, replace
from itertools import chain, pairwise, repeat, zip_longest
from statistics import median

from queueworker_operator.decision.demand import BUCKET_S
from queueworker_operator.decision.estimate import Flow
from queueworker_operator.decision.recurrence import Rhythm
from queueworker_operator.decision.regime import OBSERVE_EVERY_S

_BURSTS_KEPT = 3
_LONGEST_TICKS = 12
_QUIET_S = 30.0
_SHORTEST_GAP_S = 120.0
_LONGEST_GAP_S = 7200.0
_UNEVEN_S = 2 * OBSERVE_EVERY_S
_UNEVEN_SHARE = 0.03
_BURST_FACTOR = 2.0
_BURST_DEVIATIONS = 6.0
_FEWEST_JOBS = 10.0
_BUCKETS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """When the next one begins at the earliest and at the latest, and its jobs each 5 s."""

    earliest_s: float
    latest_s: float
    jobs: tuple[float, ...]


def learn_rhythm(rhythm: Rhythm, flow: Flow, at_s: float, ticks: tuple[float, ...]) -> Rhythm:
    """Fold one tick after the arrivals `ticks`: a burst begins, goes on, or there is none."""
    excess = _excess(flow, ticks)
    began_s = rhythm.began_s[-1] if rhythm.began_s else -math.inf
    quiet_s = math.inf if rhythm.last_s is None else at_s - rhythm.last_s
    if excess > 0 and quiet_s >= _QUIET_S and at_s - began_s >= _LONGEST_TICKS * OBSERVE_EVERY_S:
        return Rhythm(
            began_s=(*rhythm.began_s, at_s)[-_BURSTS_KEPT:],
            shapes=(*rhythm.shapes, (excess,))[-_BURSTS_KEPT:],
            last_s=at_s,
        )
    if excess <= 0:
        return rhythm
    return replace(rhythm, shapes=_longer(rhythm, at_s, excess), last_s=at_s)


def _excess(flow: Flow, ticks: tuple[float, ...]) -> float:
    """Count the jobs beyond the usual when there are by far more; else 0."""
    jobs, usual = flow.unannounced, median(ticks or (0.0,))
    chance = _BURST_DEVIATIONS * math.sqrt(usual) + _FEWEST_JOBS
    return jobs - usual if jobs > _BURST_FACTOR * usual + chance else 0.0


def _longer(rhythm: Rhythm, at_s: float, excess: float) -> tuple[tuple[float, ...], ...]:
    """Add the jobs to the shape of the burst that goes on, at most a minute of it."""
    *earlier, shape = rhythm.shapes
    empty = round((at_s - rhythm.began_s[-1]) / OBSERVE_EVERY_S) - len(shape)
    if empty < 0 or len(shape) + empty >= _LONGEST_TICKS:
        return rhythm.shapes
    return (*earlier, (*shape, *repeat(0.0, empty), excess))


def next_burst(rhythm: Rhythm, at_s: float) -> Burst | None:
    """Give the burst that comes next; None without a rhythm, or when it did not come."""
    if len(rhythm.began_s) < _BURSTS_KEPT:
        return None
    gaps_s = [later - earlier for earlier, later in pairwise(rhythm.began_s)]
    shortest_s, longest_s = min(gaps_s), max(gaps_s)
    uneven = longest_s - shortest_s > _UNEVEN_S + _UNEVEN_SHARE * shortest_s
    if uneven or not _SHORTEST_GAP_S <= shortest_s <= _LONGEST_GAP_S:
        return None
    latest_s = rhythm.began_s[-1] + longest_s
    if at_s > latest_s + OBSERVE_EVERY_S:
        return None
    columns = zip_longest(*rhythm.shapes, fillvalue=0.0)
    return Burst(
        earliest_s=rhythm.began_s[-1] + shortest_s - OBSERVE_EVERY_S,
        latest_s=latest_s,
        jobs=tuple(sum(column) / _BURSTS_KEPT for column in columns),
    )


def expected_5s(rhythm: Rhythm, at_s: float, arrived: float) -> tuple[int, ...]:
    """Give the jobs to expect in the next buckets of 5 s, less those `arrived` since the last tick.

    They are what is left of a burst that goes on, and the next one until it is overdue.
    """
    burst = next_burst(rhythm, at_s)
    if burst is None:
        return ()
    over = int((at_s - rhythm.began_s[-1]) // OBSERVE_EVERY_S) + 1
    jobs = list(burst.jobs[over:])
    wait = max(int((burst.earliest_s - at_s) // BUCKET_S), 0)
    if wait < _BUCKETS:
        jobs += chain(repeat(0.0, wait - len(jobs)), burst.jobs)
    return tuple(math.ceil(number) for number in _without(jobs[:_BUCKETS], arrived))


def _without(jobs: list[float], arrived: float) -> list[float]:
    left = []
    for number in jobs:
        left.append(max(number - arrived, 0.0))
        arrived = max(arrived - number, 0.0)
    return left


def surprises(flow: Flow, before: Rhythm, after: Rhythm, ticks: tuple[float, ...]) -> Flow:
    """Count the jobs of a burst that was expected as announced: no forecast needs them.

    Jobs that come for as long as a shape is kept may go on: there only the beginning was expected.
    """
    if after.last_s is None or after.last_s == before.last_s:
        return flow
    began_s = after.began_s[-1]
    burst = next_burst(before, began_s)
    over = (after.last_s - began_s) / OBSERVE_EVERY_S
    if burst is None or len(burst.jobs) >= _LONGEST_TICKS or over >= len(burst.jobs):
        return flow
    if after.began_s == before.began_s or began_s >= burst.earliest_s:
        return replace(flow, announced=flow.announced + _excess(flow, ticks))
    return flow
