"""Whether a queue without work keeps one pod, when zero is allowed.

Source: holding a resource for as long as fetching it anew costs is within twice the optimum
whatever comes (ski rental: Karlin, Manasse, Rudolph, Sleator, 1988); with gaps observed, the
quantile that keeps the promise is better, and regular arrivals are woken for.
"""

import math
from dataclasses import dataclass, replace

from queueworker_operator.decision.model import Policy, Sample
from queueworker_operator.decision.outlook import Outlook, late_target
from queueworker_operator.decision.regime import OBSERVE_EVERY_S, START_UP_PRIOR_S
from queueworker_operator.decision.state import Idle, StartUp, State

_GAPS_KEPT = 64
_GAPS_NEEDED = 3
_UNKNOWN_GAP_S = 160.0
_LONGEST_UNKNOWN_S = 600.0
_GUARD_S = 10.0


def learn_gaps(idle: Idle, sample: Sample, arrived: float) -> Idle:
    """Fold one sample: a pause ends with work, and work is arrivals, backlog or running jobs."""
    if arrived > 0 or sample.claimable > 0 or sample.running > 0:
        ended = idle.pausing and idle.active_at_s is not None
        gaps_s = (*idle.gaps_s, sample.at_s - (idle.active_at_s or 0.0)) if ended else idle.gaps_s
        return Idle(gaps_s=gaps_s[-_GAPS_KEPT:], active_at_s=sample.at_s)
    return replace(idle, pausing=True)


def cold_start_risk(promise_s: float, start_up: StartUp) -> float:
    """Give the chance that a start from zero takes longer than the promise (lognormal)."""
    mean_s, variance_s2 = _expected_start_up(start_up)
    log_variance = math.log(1 + variance_s2 / (mean_s * mean_s))
    log_mean = math.log(mean_s) - log_variance / 2
    budget_s = max(promise_s - OBSERVE_EVERY_S / 2, 0.01)
    score = (math.log(budget_s) - log_mean) / math.sqrt(2 * max(log_variance, 1e-4))
    return 0.5 * math.erfc(score)


def _expected_start_up(start_up: StartUp) -> tuple[float, float]:
    """Give mean and variance; until enough start-ups were seen, the prior counts as one more."""
    seen = start_up if start_up.mean_s > 0 else StartUp()
    if seen.known:
        return seen.mean_s, seen.variance_s2
    weight = 1 / (1 + seen.count)
    step_s = 0.75 * START_UP_PRIOR_S - seen.mean_s
    spread_s2 = seen.variance_s2 + weight * step_s * step_s
    variance_s2 = (1 - weight) * spread_s2 + weight * (0.25 * START_UP_PRIOR_S) ** 2
    return seen.mean_s + weight * step_s, variance_s2


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmth:
    """Stay warm for `hold_s` after the last work; with `wake_s`, be cold until then, then warm."""

    hold_s: float
    cold_from_s: float = math.inf
    wake_s: float = math.inf

    def at(self, idle_s: float) -> bool:
        """Tell whether a pod is kept after `idle_s` without work."""
        return idle_s < self.hold_s and not self.cold_from_s <= idle_s < self.wake_s


def warmth(policy: Policy, state: State, outlook: Outlook) -> Warmth:
    """Choose how long to keep a pod, from the risk of a cold start and the gaps seen."""
    risk = cold_start_risk(policy.start_within_s, state.start_up)
    tolerated = 2 * late_target(policy, outlook.regime)
    break_even_s = max(outlook.start_up_s, 3 * OBSERVE_EVERY_S)
    if risk <= tolerated:
        return Warmth(hold_s=break_even_s)
    gaps_s = sorted(state.idle.gaps_s)
    if len(gaps_s) < _GAPS_NEEDED:
        return Warmth(hold_s=_unknown_hold_s(tolerated / risk, break_even_s))
    last = len(gaps_s) - 1
    rank = min(math.ceil((1 - tolerated / risk) * (len(gaps_s) + 1)) - 1, last)
    hold_s = max(gaps_s[rank] * (1.3 if rank == last else 1.1), break_even_s)
    wake_s = 0.9 * gaps_s[int(0.05 * len(gaps_s))] - outlook.lead_s
    if wake_s <= break_even_s + 2 * outlook.start_up_s:
        return Warmth(hold_s=hold_s)
    return Warmth(hold_s=hold_s, cold_from_s=break_even_s, wake_s=wake_s)


def _unknown_hold_s(share: float, break_even_s: float) -> float:
    """Give the hold that all gaps but `share` of them end within, were they exponential."""
    return max(min(-_UNKNOWN_GAP_S * math.log(share), _LONGEST_UNKNOWN_S), break_even_s)


def is_warm(policy: Policy, state: State, sample: Sample, outlook: Outlook) -> bool:
    """Tell whether at least one pod is wanted: for work, for work announced, or for its chance.

    Stuck jobs count as work here: a queue that holds jobs of known tasks keeps a worker.
    """
    if sample.claimable > 0 or sample.running > 0:
        return True
    notice_s = outlook.lead_s + _GUARD_S + OBSERVE_EVERY_S - outlook.deadline_s
    if outlook.announced.by(max(notice_s, 0.0)) > 0:
        return True
    active_at_s = state.idle.active_at_s
    idle_s = math.inf if active_at_s is None else sample.at_s - active_at_s
    return warmth(policy, state, outlook).at(idle_s)
