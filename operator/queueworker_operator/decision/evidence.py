"""What more busy slots brought: counted only where the pods, not the demand, set how many are busy.

Sources: the elasticity is that of a Poisson rate, proportional to a power of the busy slots, by
maximum likelihood given the total (McCullagh and Nelder, *Generalized Linear Models*, 1989,
section 6); its error is widened by the dispersion of completions (quasi-likelihood, section 9).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from queueworker_operator.decision.estimate import Flow
from queueworker_operator.decision.model import Replicas, Sample
from queueworker_operator.decision.regime import OBSERVE_EVERY_S
from queueworker_operator.decision.state import Evidence, Service, Tally

_FEWEST_FOR_VARIANCE = 10
_LARGEST_DISPERSION = 30.0
_NOISY = 2.0
_NOISY_FACTOR = 1.5
_MEMORY_S = 3600.0
_MOST_FADING = 50.0
_LONGEST_SERVICE_S = 1e6
_FULL_SHARE = 0.95
_LONGEST_TICK_S = 3 * OBSERVE_EVERY_S
_TICKS_KEPT = 120
_TICKS_MERGED = 80
_LONGEST_SERIES_S = 3600.0
_BLOCK_JOBS = 40
_FEWEST_TICKS = 4
_RISE = 1.25
_NEWTON_STEPS = 4
_STEEPEST = 3.0

Ticks = tuple[tuple[float, float, float], ...]


def learn_evidence(
    evidence: Evidence,
    flow: Flow,
    service: Service,
    *,
    limited: bool,
) -> Evidence:
    """Fold one tick. Ticks count while slots are `limited`; one that is not ends the series."""
    tick = Tally(finished=flow.finished, busy_s=flow.busy_s, seconds=flow.elapsed_s)
    usable = limited and flow.elapsed_s <= _LONGEST_TICK_S
    block = total((evidence.block, tick))
    fastest_s = _faded(evidence.fastest_s, flow.elapsed_s)
    dispersion = _dispersion(service, evidence.dispersion, flow.elapsed_s)
    if block.finished >= _BLOCK_JOBS * dispersion and block.seconds >= window_s(service.estimate_s):
        fastest_s = min(fastest_s or block.service_s, block.service_s)
        block = Tally()
    return Evidence(
        ticks=_appended(evidence.ticks, tick) if usable else (),
        block=block,
        fastest_s=fastest_s,
        dispersion=dispersion,
    )


def _faded(fastest_s: float, elapsed_s: float) -> float:
    """Let a fastest service time grow with its age; one that grew beyond reason is forgotten: 0."""
    grown_s = fastest_s * math.exp(min(elapsed_s / _MEMORY_S, _MOST_FADING))
    return grown_s if grown_s < _LONGEST_SERVICE_S else 0.0


def _appended(ticks: Ticks, tick: Tally) -> Ticks:
    """Add a tick; when there are too many, add neighbours up among the older two thirds."""
    longer = (*ticks, (tick.finished, tick.busy_s, tick.seconds))
    if len(longer) <= _TICKS_KEPT:
        return longer
    older = longer[:_TICKS_MERGED]
    pairs = zip(older[::2], older[1::2], strict=True)
    merged = tuple((a + d, b + e, c + f) for (a, b, c), (d, e, f) in pairs)
    shortened = (*merged, *longer[_TICKS_MERGED:])
    too_long = sum(seconds for _, _, seconds in shortened[1:]) >= _LONGEST_SERIES_S
    return shortened[1:] if too_long else shortened


def is_limited(sample: Sample, replicas: Replicas, slots: int) -> bool:
    """Tell whether all slots are full: while jobs wait, pods alone then set how many are busy."""
    open_slots = (replicas.ready - replicas.draining) * slots
    full = 0 < _FULL_SHARE * open_slots <= sample.running
    return full and not replicas.rollout


def window_s(service_s: float) -> float:
    """Give how long is measured at least: two jobs, one after the other."""
    return min(max(20.0, 2 * service_s), 900.0)


def _dispersion(service: Service, earlier: float, elapsed_s: float) -> float:
    """Give the dispersion of completions: jobs of mixed length finish less evenly."""
    relative = 1.0
    if service.finished > _FEWEST_FOR_VARIANCE and service.mean_s > 0:
        relative = min(service.variance_s2 / service.mean_s / service.mean_s, _LARGEST_DISPERSION)
    noisy = relative * (_NOISY_FACTOR if relative > _NOISY else 1.0)
    return max(noisy, earlier * math.exp(-elapsed_s / _MEMORY_S), 1.0)


def total(ticks: Iterable[Tally]) -> Tally:
    """Add ticks up."""
    kept = tuple(ticks)
    return Tally(
        finished=sum(tick.finished for tick in kept),
        busy_s=sum(tick.busy_s for tick in kept),
        seconds=sum(tick.seconds for tick in kept),
    )


def newest(ticks: Sequence[Tally], *, seconds: float, finished: float) -> Tally:
    """Add up as few of the newest ticks as last so long and finished so many jobs."""
    summed = Tally()
    for tick in reversed(ticks):
        if summed.seconds >= seconds and summed.finished >= finished:
            break
        summed = total((summed, tick))
    return summed


@dataclass(frozen=True, slots=True, kw_only=True)
class Elasticity:
    """By how many percent one percent more busy slots raised the jobs finished per second.

    1 is what independent jobs give, 0 a bottleneck. `lowest` and `highest` are the busy slots
    between which it was measured.
    """

    value: float
    error: float
    finished: float
    lowest: float
    highest: float


def elasticity(evidence: Evidence, service_s: float) -> Elasticity | None:
    """Measure over the last rise of busy slots; None when too little was seen."""
    rise = _last_rise(evidence.series, window_s(service_s))
    summed = total(rise)
    if len(rise) < _FEWEST_TICKS or summed.finished < 1:
        return None
    logs = _smoothed_logs(rise, service_s / 2)
    mean = sum(tick.finished * log for tick, log in zip(rise, logs, strict=True)) / summed.finished
    value, spread = 0.5, 0.0
    for _ in range(_NEWTON_STEPS):
        expected, spread = _moments(rise, logs, value)
        value = min(max(value + (mean - expected) / spread, -_STEEPEST), _STEEPEST)
    return Elasticity(
        value=value,
        error=math.sqrt(evidence.dispersion / (summed.finished * spread)),
        finished=summed.finished,
        lowest=math.exp(min(logs)),
        highest=math.exp(max(logs)),
    )


def _last_rise(ticks: Sequence[Tally], least_s: float) -> Sequence[Tally]:
    """Go back until fewer slots were busy, by a quarter, and for long enough."""
    lowest, low_for_s, seconds, count = math.inf, 0.0, 0.0, 0
    for tick in reversed(ticks):
        if seconds >= max(180.0, 8 * least_s):
            break
        seconds += tick.seconds
        count += 1
        if tick.busy < 0.97 * lowest:
            lowest, low_for_s = tick.busy, 0.0
        else:
            low_for_s += tick.seconds
        if lowest < ticks[-1].busy / _RISE and low_for_s >= least_s:
            break
    return ticks[len(ticks) - count :]


def _smoothed_logs(ticks: Sequence[Tally], lag_s: float) -> list[float]:
    """Give the logarithms of the busy slots; completions follow them half a job later."""
    logs, busy = [], ticks[0].busy
    for tick in ticks:
        busy += (1 - math.exp(-tick.seconds / max(lag_s, 1e-3))) * (tick.busy - busy)
        logs.append(math.log(max(busy, 0.5)))
    return logs


def _moments(ticks: Sequence[Tally], logs: Sequence[float], value: float) -> tuple[float, float]:
    """Give mean and variance of the logarithms where jobs finish in proportion to busy^value."""
    weights = [
        tick.seconds * math.exp(value * (log - logs[0]))
        for tick, log in zip(ticks, logs, strict=True)
    ]
    whole = sum(weights)
    mean = sum(weight * log for weight, log in zip(weights, logs, strict=True)) / whole
    square = sum(weight * log * log for weight, log in zip(weights, logs, strict=True)) / whole
    return mean, max(square - mean * mean, 1e-9)


def without_ticks(evidence: Evidence, kept: int = 0) -> Evidence:
    """Begin the series anew, with its `kept` newest ticks."""
    return replace(evidence, ticks=evidence.ticks[len(evidence.ticks) - kept :])
