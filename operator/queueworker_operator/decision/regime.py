"""The two regimes of the controller and their constants (a study over 30 workloads chose them)."""

from dataclasses import dataclass

OBSERVE_EVERY_S = 5.0
"""Seconds of sample time between two observations: the tick that the estimators count in."""

START_UPS_NEEDED = 3
"""Start-ups to be seen before their mean is trusted over the prior."""

SERVICE_PRIOR_S = 2.0
START_UP_PRIOR_S = 30.0
LATENCY_SHARE = 0.43
"""The most of the promise that a plan may use up where latency is the objective."""
LONG_HOLD_SHARE = 0.25
RHYTHM_HOLD_SHARE = 0.5
_HYSTERESIS = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """Constants of one regime.

    `deadline_share` of the promise is the deadline for scaling out, `scale_in_share` of that the
    stricter one for scaling in. `guard_share` widens the first deadline a new pod must help.
    `tail` bounds the chance to wait (1 = unused), `break_even` scales how far scale-in looks,
    `late_factor` scales the share of late jobs aimed at, `load_limit` is the highest load of a slot.
    `smoothing_s` 0 means as long as 20 jobs take; `hold_s` 0 means start-up plus drain time.
    Scale-ins wait for each other for `gather_s` at most. So many jobs as `fall_proven_by` weigh
    against a service time that falls.
    """

    deadline_share: float
    scale_in_share: float
    guard_share: float
    tail: float
    break_even: float
    late_factor: float
    load_limit: float
    smoothing_s: float
    hold_s: float
    gather_s: float
    fall_proven_by: float


BUFFERED = Regime(
    deadline_share=0.85,
    scale_in_share=0.75,
    guard_share=0.1,
    tail=1.0,
    break_even=4.0,
    late_factor=1.0,
    load_limit=10.0,
    smoothing_s=120.0,
    hold_s=0.0,
    gather_s=30.0,
    fall_proven_by=30.0,
)
"""The promise is longer than a start-up: the queue absorbs a surprise until pods arrive."""

TIGHT = Regime(
    deadline_share=0.75,
    scale_in_share=0.65,
    guard_share=0.2,
    tail=0.1,
    break_even=2.0,
    late_factor=2.0,
    load_limit=1.0,
    smoothing_s=0.0,
    hold_s=60.0,
    gather_s=15.0,
    fall_proven_by=0.0,
)
"""A new pod comes too late for a surprise: spare slots must be there beforehand."""


def is_tight(*, promise_s: float, lead_s: float, start_ups: float, was_tight: bool) -> bool:
    """Tell whether the promise is shorter than a start-up, with hysteresis.

    While no start-up is known only a promise that hardly any pod can keep counts as short.
    """
    if start_ups < START_UPS_NEEDED:
        return promise_s < START_UP_PRIOR_S / 2
    return promise_s < _HYSTERESIS * lead_s or (was_tight and promise_s < lead_s)
