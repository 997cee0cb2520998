"""Fold one sample into what is known. Each estimator forgets by the seconds that really passed.

Sources: the dispersion of counts is von Neumann's mean square successive difference (1941), so a
trend does not look like noise. The service time is the maximum-likelihood mean of an exponential
with censoring (busy seconds count before completions do), with pseudo-observations as a prior.
"""

import math
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from statistics import median

from queueworker_operator.decision.model import Replicas, Sample
from queueworker_operator.decision.regime import OBSERVE_EVERY_S, Regime
from queueworker_operator.decision.state import Arrivals, Service, StartUp, Stuck

_TICKS_KEPT = 60
_TICKS_A_MINUTE = 12
_TICKS_FOR_TREND = 24
_TICKS_FOR_DISPERSION = 31
_TICKS_FOR_MEDIAN = 5
_TREND_SIGNIFICANCE = 2.0
_SERVICE_MEMORY_JOBS = 500
_CENSORED_FACTOR = 2.0
_LATENESS_GAIN = 0.05
_LATENESS_BOUND = 0.35
_STUCK_SAMPLES = 4
_STUCK_SHARE = 0.9
_LARGEST = 1e18


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What happened between two samples. `claimable` jobs are those announced and all others."""

    elapsed_s: float
    claimable: float
    announced: float
    finished: float
    busy_s: float
    service_count: float
    service_sum_s: float
    service_sq_sum_s2: float
    started: float
    late: float

    @property
    def unannounced(self) -> float:
        """Count the jobs that came without notice."""
        return max(self.claimable - self.announced, 0.0)


def usable(sample: Sample) -> bool:
    """Tell whether every number of the sample is finite, not negative and not absurd."""
    numbers = [getattr(sample, field.name) for field in fields(sample) if field.name != "due_5s"]
    return all(number is None or 0 <= number <= _LARGEST for number in (*numbers, *sample.due_5s))


def flow_between(earlier: Sample, later: Sample) -> Flow | None:
    """Give the differences of the counters; None when one fell (a new or restored database)."""
    names = {
        "claimable": "enqueued_total",
        "announced": "announced_total",
        "finished": "finished_total",
        "busy_s": "busy_slot_seconds_total",
        "service_count": "service_count",
        "service_sum_s": "service_sum_s",
        "service_sq_sum_s2": "service_sq_sum_s2",
        "started": "started_total",
        "late": "late_total",
    }
    deltas = {name: getattr(later, of) - getattr(earlier, of) for name, of in names.items()}
    if min(deltas.values()) < 0:
        return None
    return Flow(elapsed_s=later.at_s - earlier.at_s, **deltas)


def without_left_out(flow: Flow, grown: float) -> Flow:
    """Take out the jobs that joined those that nobody can claim, but none that workers started.

    So a backlog whose task becomes unknown hides no stream that is served.
    """
    claimed = max(flow.started - flow.announced, 0.0)
    left_out = min(max(grown, 0.0), max(flow.unannounced - claimed, 0.0))
    return replace(flow, claimable=flow.claimable - left_out)


def learn_start_up(start_up: StartUp, replicas: Replicas, at_s: float) -> StartUp:
    """Fold the pods that became Ready since the last observation."""
    restarted = replicas.start_up_count < start_up.seen_count
    count = replicas.start_up_count - (0 if restarted else start_up.seen_count)
    total_s = replicas.start_up_sum_s - (0.0 if restarted else start_up.seen_sum_s)
    square_s2 = replicas.start_up_sq_sum_s2 - (0.0 if restarted else start_up.seen_sq_sum_s2)
    seen = replace(
        start_up,
        seen_count=replicas.start_up_count,
        seen_sum_s=replicas.start_up_sum_s,
        seen_sq_sum_s2=replicas.start_up_sq_sum_s2,
    )
    if count <= 0 or total_s < 0:
        return seen
    mean_s = total_s / count
    spread_s2 = max(square_s2 / count - mean_s * mean_s, 0.0)
    weight = max(count / (start_up.count + count), 1 - 0.9**count)
    step_s = mean_s - start_up.mean_s
    kept_s2 = (1 - weight) * (start_up.variance_s2 + weight * step_s * step_s)
    return replace(
        seen,
        count=start_up.count + count,
        mean_s=start_up.mean_s + weight * step_s,
        variance_s2=kept_s2 + weight * spread_s2,
        last_ready_at_s=at_s,
    )


def learn_service(service: Service, flow: Flow, regime: Regime) -> Service:
    """Fold busy seconds and finished jobs; busy seconds speak before the first job ends.

    That jobs became shorter takes more of them to prove: the first to end may be the shortest.
    """
    memory_s = min(max(120.0, 3 * service.estimate_s), 3600.0)
    kept = math.exp(-flow.elapsed_s / memory_s)
    finished = service.recent_finished * kept + flow.finished
    busy_s = service.recent_busy_s * kept + flow.busy_s
    prior = min(5.0, 0.5 + 0.1 * service.finished)
    fall = max(prior, regime.fall_proven_by)
    estimate_s = max((busy_s + jobs * service.slow_s) / (finished + jobs) for jobs in (prior, fall))
    busy_for_s = service.busy_for_s + flow.elapsed_s if flow.busy_s > 0 else 0.0
    # A hundred jobs side by side for 3 s prove that each takes longer than 3 s, not 300 s.
    bound_s = max(service.slow_s, _CENSORED_FACTOR * busy_for_s)
    return replace(
        _learn_durations(service, flow),
        estimate_s=max(min(estimate_s, bound_s), 1e-3),
        recent_finished=finished,
        recent_busy_s=busy_s,
        busy_for_s=busy_for_s,
    )


def _learn_durations(service: Service, flow: Flow) -> Service:
    count = flow.service_count
    if count <= 0:
        return service
    mean_s = flow.service_sum_s / count
    spread_s2 = max(flow.service_sq_sum_s2 / count - mean_s * mean_s, 0.0)
    memory = 1 - math.exp(-count / _SERVICE_MEMORY_JOBS)
    finished = service.finished + count
    slow_weight = max(memory, count / (finished + 1))
    weight = max(memory, count / finished)
    step_s = mean_s - service.mean_s
    kept_s2 = (1 - weight) * (service.variance_s2 + weight * step_s * step_s)
    return replace(
        service,
        slow_s=max(service.slow_s + slow_weight * (mean_s - service.slow_s), 1e-3),
        finished=finished,
        mean_s=service.mean_s + weight * step_s,
        variance_s2=kept_s2 + weight * spread_s2,
    )


def learn_arrivals(arrivals: Arrivals, flow: Flow, regime: Regime) -> Arrivals:
    """Fold one tick: rate, dispersion and trend.

    In the first two minutes the rate is at least the median tick: a stream that was there before
    the controller is soon seen, a single burst is not mistaken for a stream.
    """
    rate_per_s = flow.unannounced / max(flow.elapsed_s, OBSERVE_EVERY_S)
    smoothing_s = regime.smoothing_s or min(max(20 / max(arrivals.rate_per_s, 1e-3), 20.0), 300.0)
    weight = 1 - math.exp(-max(flow.elapsed_s, OBSERVE_EVERY_S) / smoothing_s)
    ticks = (*arrivals.ticks, rate_per_s * OBSERVE_EVERY_S)[-_TICKS_KEPT:]
    smooth_per_s = arrivals.rate_per_s + weight * (rate_per_s - arrivals.rate_per_s)
    if _TICKS_FOR_MEDIAN <= len(ticks) < _TICKS_FOR_TREND:
        smooth_per_s = max(smooth_per_s, median(ticks) / OBSERVE_EVERY_S)
    dispersion = _dispersion(ticks)
    return Arrivals(
        rate_per_s=min(smooth_per_s, _most_per_s(ticks, dispersion)),
        ticks=ticks,
        dispersion=dispersion,
        slope_per_s2=_slope_per_s2(ticks, dispersion),
    )


def proven_per_s(arrivals: Arrivals) -> float:
    """Give the rate that two ticks prove: the quieter, less its deviation; a lump proves none."""
    fewest = min((0.0, *arrivals.ticks)[-2:])
    return (fewest - math.sqrt(fewest)) / OBSERVE_EVERY_S


def _dispersion(ticks: tuple[float, ...]) -> float:
    arrived = sum(ticks)
    if len(ticks) < _TICKS_FOR_DISPERSION or arrived <= 0:
        return 1.0
    steps = sum((later - earlier) ** 2 for earlier, later in pairwise(ticks))
    return min(max(steps / 2 / arrived, 1.0), 25.0)


def _minutes(ticks: tuple[float, ...]) -> tuple[float, float]:
    """Give the jobs of the last minute and of the one before it."""
    return sum(ticks[-_TICKS_A_MINUTE:]), sum(ticks[-_TICKS_FOR_TREND:-_TICKS_A_MINUTE])


def _most_per_s(ticks: tuple[float, ...], dispersion: float) -> float:
    """Bound a rate that does not rise by two minutes plus two deviations: bursts are forgotten."""
    last, previous = _minutes(ticks)
    if len(ticks) < _TICKS_FOR_TREND or last > previous:
        return math.inf
    arrived = last + previous
    most = arrived + 2 * math.sqrt(dispersion * arrived) + 4
    return most / (_TICKS_FOR_TREND * OBSERVE_EVERY_S)


def _slope_per_s2(ticks: tuple[float, ...], dispersion: float) -> float:
    """Give the trend when two minutes differ by more than 2 deviations, shrunk by its noise."""
    if len(ticks) < _TICKS_FOR_TREND:
        return 0.0
    last, previous = _minutes(ticks)
    score = (last - previous) / math.sqrt(dispersion * (last + previous) + 1)
    if abs(score) <= _TREND_SIGNIFICANCE:
        return 0.0
    minute_s = _TICKS_A_MINUTE * OBSERVE_EVERY_S
    return (last - previous) / minute_s**2 * (1 - (_TREND_SIGNIFICANCE / score) ** 2)


def learn_lateness(lateness: float, flow: Flow, rate_per_s: float, target: float) -> float:
    """Integrate the share of late starts over its target: positive tightens the deadlines."""
    if flow.started <= 0:
        return lateness
    weight = min(flow.started / (rate_per_s * OBSERVE_EVERY_S + 1), 1.0)
    error = min(flow.late / flow.started, 1.0) - target
    moved = lateness + _LATENESS_GAIN * weight * error
    return min(max(moved, -_LATENESS_BOUND), _LATENESS_BOUND)


def learn_stuck(stuck: Stuck, sample: Sample, replicas: Replicas, slots: int) -> Stuck:
    """Count the backlog that stayed for 15 s beside idle slots: nobody can claim it.

    A backlog that falls is claimed, if slowly: on a starved node slots look idle meanwhile.
    """
    idle_slots = (replicas.ready - replicas.draining) * slots - sample.running
    if sample.claimable <= 0 or idle_slots <= 0.5:  # noqa: PLR2004 - half a slot: counts may be means
        return Stuck(jobs=min(stuck.jobs, sample.claimable))
    recent = (*stuck.recent, sample.claimable)[-_STUCK_SAMPLES:]
    is_falling = recent[-1] < _STUCK_SHARE * recent[0]
    if len(recent) < _STUCK_SAMPLES or is_falling:
        return Stuck(recent=recent, jobs=min(stuck.jobs, sample.claimable))
    return Stuck(recent=recent, jobs=min(recent))
