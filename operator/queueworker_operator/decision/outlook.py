"""Everything that sizing needs, worked out from policy, state, sample and replicas."""

import math
from dataclasses import dataclass
from itertools import zip_longest

from queueworker_operator.decision.demand import Announced, Demand
from queueworker_operator.decision.estimate import proven_per_s
from queueworker_operator.decision.model import Objective, Policy, Replicas, Sample
from queueworker_operator.decision.regime import (
    BUFFERED,
    LATENCY_SHARE,
    OBSERVE_EVERY_S,
    TIGHT,
    Regime,
)
from queueworker_operator.decision.returns import worth_holding_s
from queueworker_operator.decision.rhythm import expected_5s, next_burst
from queueworker_operator.decision.season import expected_per_s
from queueworker_operator.decision.sizing import Capacity, SteadyLoad
from queueworker_operator.decision.state import StartUp, State

_FEWEST_FOR_VARIANCE = 10
_OCCUPANCY_S = 120.0
_LARGEST_VARIABILITY = 10.0
_PRICE_GROWTH = 6.0
_MOST_SLOTS = 10_000  # what spec.slotsPerPod may say; rows and templates are not bounded by anybody


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The situation now. Rates are jobs/s; `load_rate_per_s` mixes in what long jobs occupy.

    `worth_holding_s` is the hold of a pod that would have paid lately, `burst_in_s` when a burst is
    expected at the earliest, None without one.
    `starting_s` are seconds until each starting pod is ready, ascending. Overdue pods are not
    among them: they count as no capacity.
    """

    at_s: float
    promise_s: float
    deadline_s: float
    scale_in_deadline_s: float
    regime: Regime
    slots: int
    slots_assumed: bool
    service_s: float
    start_up_s: float
    lead_s: float
    backlog: float
    oldest_age_s: float
    running: float
    unclaimable: float
    arrival_rate_per_s: float
    forecast_rate_per_s: float
    load_rate_per_s: float
    variability: float
    long: bool
    announced: Announced
    ready: int
    starting_s: tuple[float, ...]
    overdue: int
    worth_holding_s: float
    burst_in_s: float | None

    @property
    def capacity(self) -> Capacity:
        """Give what the pods can start."""
        return Capacity(
            slots=self.slots,
            service_s=self.service_s,
            ready=self.ready,
            running=self.running,
            starting_s=self.starting_s,
            lead_s=self.lead_s,
            long=self.long,
        )

    @property
    def load(self) -> SteadyLoad:
        """Give the forecast as a stream that never stops."""
        return SteadyLoad(
            rate_per_s=self.load_rate_per_s,
            service_s=self.service_s,
            slots=self.slots,
            variability=self.variability,
        )

    @property
    def drain_s(self) -> float:
        """Give the expected seconds until a full pod has finished its jobs."""
        return self.service_s * sum(1 / slot for slot in range(1, self.slots + 1))

    def demand(self, deadline_s: float) -> Demand:
        """Give what must have started by when, for a deadline."""
        return Demand(
            backlog=self.backlog,
            oldest_age_s=self.oldest_age_s,
            rate_per_s=self.load_rate_per_s,
            deadline_s=deadline_s,
            announced=self.announced,
        )


def slots_of(policy: Policy, state: State, sample: Sample) -> tuple[int, bool]:
    """Give the slots of one pod, and whether that is only assumed (no worker was ever seen)."""
    known = policy.slots_per_pod or sample.slots_per_pod or state.slots
    return min(max(known or policy.default_slots, 1), _MOST_SLOTS), not known


def deadline_s(policy: Policy, regime: Regime, lateness: float) -> float:
    """Give the share of the promise to plan with; being late shortens it where the queue buffers."""
    share = regime.deadline_share
    if policy.objective is Objective.LATENCY:
        share = min(share, LATENCY_SHARE)
    eased = 1.0 if regime is TIGHT else math.exp(-2 * max(lateness, 0.0))
    return share * policy.start_within_s * eased


def late_target(policy: Policy, regime: Regime) -> float:
    """Give the share of jobs that may start later than promised."""
    return policy.late_percent / 100 * regime.late_factor


def look(policy: Policy, state: State, sample: Sample, replicas: Replicas) -> Outlook:
    """Work out the situation of this sample with what was learned before it."""
    regime = TIGHT if state.tight else BUFFERED
    slots, slots_assumed = slots_of(policy, state, sample)
    service_s, start_up_s = state.service.estimate_s, state.start_up.estimate_s
    lead_s = start_up_s + OBSERVE_EVERY_S
    out_s = deadline_s(policy, regime, state.lateness)
    backlog, oldest_age_s = claimable_of(state, sample)
    forecast_per_s = _forecast_per_s(state, sample.at_s, lead_s)
    starting_s, overdue = _starting(state.start_up, replicas)
    burst = next_burst(state.rhythm, sample.at_s)
    return Outlook(
        at_s=sample.at_s,
        promise_s=policy.start_within_s,
        deadline_s=out_s,
        scale_in_deadline_s=max(regime.scale_in_share * out_s, OBSERVE_EVERY_S),
        regime=regime,
        slots=slots,
        slots_assumed=slots_assumed,
        service_s=service_s,
        start_up_s=start_up_s,
        lead_s=lead_s,
        backlog=backlog,
        oldest_age_s=oldest_age_s,
        running=sample.running,
        unclaimable=sample.ready - backlog,
        arrival_rate_per_s=state.arrivals.rate_per_s,
        forecast_rate_per_s=forecast_per_s,
        load_rate_per_s=_load_per_s(forecast_per_s, backlog + sample.running, service_s, out_s),
        variability=_variability(state),
        long=service_s > out_s,
        announced=Announced.of(_due_5s(state, sample)),
        ready=min(replicas.ready, replicas.current),
        starting_s=starting_s,
        overdue=overdue,
        worth_holding_s=worth_holding_s(state.returns, _price_s(regime, state.lateness)),
        burst_in_s=max(burst.earliest_s - sample.at_s, 0.0) if burst else None,
    )


def _due_5s(state: State, sample: Sample) -> tuple[int, ...]:
    """Give the jobs that fall due, and those of a burst that is expected."""
    if state.last is None:
        return sample.due_5s
    arrived = sample.unannounced_total - state.last.unannounced_total
    expected = expected_5s(state.rhythm, sample.at_s, max(arrived, 0.0))
    return tuple(due + more for due, more in zip_longest(sample.due_5s, expected, fillvalue=0))


def claimable_of(state: State, sample: Sample) -> tuple[float, float]:
    """Give the backlog that can be claimed, and its age, which other jobs' would hide.

    Beside jobs that nobody claims it is what came lately, but for what other queues prove.
    """
    backlog = max(sample.claimable - state.stuck.jobs, 0.0)
    if backlog <= 0:
        return 0.0, 0.0
    if backlog >= sample.ready or state.arrivals.rate_per_s <= 0:
        return backlog, sample.oldest_age_s
    proven_s = 0.0 if state.stuck.jobs > 0 else sample.claimable_age_s
    recent_s = min(sample.oldest_age_s, backlog / state.arrivals.rate_per_s)
    return backlog, max(recent_s, proven_s)


def _forecast_per_s(state: State, at_s: float, lead_s: float) -> float:
    """Extend the trend by one lead time, downwards to a half at most; the rest only adds."""
    rate_per_s, change_per_s = state.arrivals.rate_per_s, state.arrivals.slope_per_s2 * lead_s
    seasonal_per_s = expected_per_s(state.season, at_s, at_s + lead_s)
    lasting_per_s = proven_per_s(state.arrivals) if state.tight else 0.0
    return max(rate_per_s + change_per_s, rate_per_s / 2, seasonal_per_s, lasting_per_s)


def _load_per_s(forecast_per_s: float, unfinished: float, service_s: float, out_s: float) -> float:
    """Mix in the occupancy of long jobs: slots that are held are demand, too."""
    if service_s <= out_s:
        return forecast_per_s
    weight = (1 - out_s / service_s) * service_s / (service_s + _OCCUPANCY_S)
    return (1 - weight) * forecast_per_s + weight * unfinished / service_s


def _variability(state: State) -> float:
    service = state.service
    relative = 1.0
    if service.finished > _FEWEST_FOR_VARIANCE and service.mean_s > 0:
        relative = service.variance_s2 / service.mean_s / service.mean_s
    return max((state.arrivals.dispersion + min(relative, _LARGEST_VARIABILITY)) / 2, 0.1)


def _price_s(regime: Regime, lateness: float) -> float:
    """Give what it is worth that a pod is there at once: more while jobs are late, nothing else."""
    return regime.hold_s * math.exp(_PRICE_GROWTH * max(lateness, 0.0))


def overdue_after_s(start_up: StartUp) -> float:
    """Give the age at which a starting pod counts as no capacity."""
    if not start_up.known:
        return 4 * start_up.estimate_s
    return max(start_up.mean_s + 4 * start_up.deviation_s, 2 * start_up.estimate_s, 30.0)


def _starting(start_up: StartUp, replicas: Replicas) -> tuple[tuple[float, ...], int]:
    """Give the seconds left of each pod that starts, ascending, and how many are overdue.

    Pods that were asked for and not created yet start with age 0: they are not asked for twice.
    """
    estimate_s, bound_s = start_up.estimate_s, overdue_after_s(start_up)
    ages_s = [age_s if age_s > 0 else 0.0 for age_s in replicas.starting_ages_s]
    room = max(replicas.current - replicas.ready, 0)
    ages_s += [0.0] * (room - len(ages_s))
    in_time = sorted(
        max(estimate_s - age_s, age_s - estimate_s, OBSERVE_EVERY_S)
        for age_s in ages_s
        if age_s <= bound_s
    )
    return tuple(in_time[:room]), sum(age_s > bound_s for age_s in ages_s)
