"""Samples and states for tests of the decision."""

from dataclasses import replace
from typing import Any

from queueworker_operator.decision.estimate import Flow
from queueworker_operator.decision.model import Sample
from queueworker_operator.decision.state import Arrivals, Idle, Service, StartUp, State

AT_S = 1_000_000.0

QUIET = Sample(
    at_s=AT_S,
    ready=0,
    oldest_age_s=0.0,
    running=0,
    enqueued_total=0,
    announced_total=0,
    finished_total=0,
    busy_slot_seconds_total=0.0,
    service_count=0,
    service_sum_s=0.0,
    service_sq_sum_s2=0.0,
    started_total=0,
    late_total=0,
)


def sample(after_s: float = 0.0, **fields: Any) -> Sample:
    """Give a quiet queue `after_s` after the start, but for `fields`."""
    return replace(QUIET, at_s=AT_S + after_s, **fields)


def learned(
    *, service_s: float = 1.0, start_up_s: float = 15.0, rate_per_s: float = 0.0, **fields: Any
) -> State:
    """Give a state that has seen a steady stream for five minutes, up to `AT_S`."""
    state = State(
        last=QUIET,
        observations=60,
        arrivals=Arrivals(rate_per_s=rate_per_s, ticks=(rate_per_s * 5,) * 60),
        service=Service(
            estimate_s=service_s,
            slow_s=service_s,
            finished=1000.0,
            recent_finished=rate_per_s * 120,
            recent_busy_s=rate_per_s * 120 * service_s,
            mean_s=service_s,
            variance_s2=service_s**2,
            busy_for_s=300.0,
        ),
        start_up=StartUp(count=10.0, mean_s=start_up_s, variance_s2=0.0),
        idle=Idle(active_at_s=AT_S),
    )
    return replace(state, **fields)


def flow(jobs: float, *, announced: float = 0.0, elapsed_s: float = 5.0) -> Flow:
    """Give a tick with `jobs` that came without notice."""
    return Flow(
        elapsed_s=elapsed_s,
        claimable=jobs + announced,
        announced=announced,
        finished=0.0,
        busy_s=0.0,
        service_count=0.0,
        service_sum_s=0.0,
        service_sq_sum_s2=0.0,
        started=0.0,
        late=0.0,
    )
