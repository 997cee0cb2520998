"""What keeps a plan from being followed at once: holds, pods that do not start, a cold memory."""

import math
from dataclasses import dataclass

from queueworker_operator.decision.model import Replicas
from queueworker_operator.decision.outlook import Outlook
from queueworker_operator.decision.plan import Plan
from queueworker_operator.decision.regime import (
    LONG_HOLD_SHARE,
    OBSERVE_EVERY_S,
    RHYTHM_HOLD_SHARE,
)
from queueworker_operator.decision.state import StartUp, State, Stuck

_LONGEST_HOLD_S = 1200.0
_WANTED_APART_S = OBSERVE_EVERY_S / 2
_REPLACED_SHARE = 0.25
_STALL_PATIENCE_S = 600.0
_STEP_BETWEEN_SHARE = 0.25
_CLIMB_S = 2.5 * OBSERVE_EVERY_S
_CLIMB_APART_S = 1.0
_FULL_S = 60.0
OBSERVATIONS_BEFORE_SCALE_IN = 12

Wanted = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restrained:
    """The replicas after all restraint, and what of it was at work.

    `held` pods are the most that were wanted within the hold. `refused` pods were wanted while none starts; `rollout` is True when one kept pods alive.
    `climbing`: one pod more than planned for is taken, as the steps out do not end.
    `wish` is what would be asked for without the guard's cap, which is `saturated` when it binds.
    """

    replicas: int
    wanted: Wanted
    stalled_since_s: float | None
    held: int
    refused: int
    rollout: bool
    climbing: bool
    wish: int
    saturated: bool


def hold_s(outlook: Outlook) -> float:
    """Give how long a need stays in mind: about what it costs to remove a pod and get it back."""
    if outlook.regime.hold_s:
        share = RHYTHM_HOLD_SHARE if outlook.burst_in_s is not None else 1.0
        return max(share * outlook.regime.hold_s, outlook.worth_holding_s)
    share = LONG_HOLD_SHARE if outlook.long else 1.0
    return max(share * (outlook.start_up_s + outlook.drain_s), 3 * OBSERVE_EVERY_S)


def remember(wanted: Wanted, at_s: float, pods: float) -> Wanted:
    """Add what is wanted now; entries that a later one equals or exceeds can never matter."""
    kept = [
        (then_s, more)
        for then_s, more in wanted
        if more > pods and at_s - then_s <= _LONGEST_HOLD_S
    ]
    if kept and at_s - kept[-1][0] < _WANTED_APART_S:
        return tuple(kept)
    return (*kept, (at_s, pods))


def without_stuck(wanted: Wanted, before: Stuck, after: Stuck, slots: float) -> Wanted:
    """Forget what was wanted once as many jobs as all `slots` hold turn out to be for nobody.

    Slots were idle for 15 s beside them: no other job needed the pods that were wanted for them.
    """
    return () if after.jobs - before.jobs >= max(slots, 1.0) else wanted


def restrain(outlook: Outlook, plan: Plan, state: State, replicas: Replicas) -> Restrained:
    """Follow the plan: out at once, in when it was wanted for the whole hold."""
    ready = outlook.ready
    spares = min(outlook.overdue, max(1, math.ceil(_REPLACED_SHARE * (ready + 1))))
    wish = max(plan.keep, plan.enough) + spares
    wanted = remember(state.wanted, outlook.at_s, wish)
    since_s = outlook.at_s if wish < 1 else _forgotten_s(state, outlook) - hold_s(outlook)
    held = max((int(pods) for then_s, pods in wanted if then_s >= since_s), default=wish)
    step = _step(outlook, plan, held, spares, replicas.current)
    climbing = step == replicas.current + 1 and _is_climbing(outlook, state, replicas)
    step += climbing
    step = _gathered(step, state, outlook.at_s, replicas.current)
    stalled_since_s = _stalled_since_s(outlook, state, replicas)
    allowed = step
    if stalled_since_s is not None:
        allowed = min(step, _most_while_stalled(ready, outlook.at_s - stalled_since_s))
    number = capped = min(allowed, state.guard.cap or allowed)
    if replicas.rollout or state.observations < OBSERVATIONS_BEFORE_SCALE_IN:
        number = max(capped, replicas.current)
    return Restrained(
        replicas=number,
        wanted=wanted,
        stalled_since_s=stalled_since_s,
        held=held,
        refused=step - allowed,
        rollout=replicas.rollout and number > capped,
        climbing=climbing and step > replicas.current,
        wish=allowed,
        saturated=number == capped < allowed,
    )


def _step(outlook: Outlook, plan: Plan, held: int, spares: int, current: int) -> int:
    """Give the next size. Overdue pods are replaced a few at a time, and only when needed."""
    if outlook.overdue and plan.enough > plan.pods:
        return max(plan.enough + spares, current)
    if not outlook.overdue and plan.enough > current:
        return plan.enough
    return min(held, current)


def _is_climbing(outlook: Outlook, state: State, replicas: Replicas) -> bool:
    """Tell whether pods were added twice just now: the need grows on, pod by pod.

    Not where a promise is shorter than a start-up: spare slots are there beforehand. Nor where
    all slots have long been full: whether more pods help at all is not known then.
    """
    if outlook.regime.hold_s or sum(tick.seconds for tick in state.evidence.series) > _FULL_S:
        return False
    ages_s = [age_s for age_s in replicas.starting_ages_s if age_s < _CLIMB_S]
    apart_s = max(ages_s, default=0.0) - min(ages_s, default=0.0)
    return apart_s >= _CLIMB_APART_S


def _forgotten_s(state: State, outlook: Outlook) -> float:
    """Give the instant that the hold counts back from: it moves on each `gather_s` only.

    Needs that end one by one then end together, and so do their pods.
    """
    if state.last is None:
        return outlook.at_s
    span_s = outlook.regime.gather_s
    over_s = OBSERVE_EVERY_S * state.observations % span_s
    return max(state.last.at_s - over_s, outlook.at_s - span_s) + OBSERVE_EVERY_S


def _gathered(step: int, state: State, at_s: float, current: int) -> int:
    """Between two observations take large steps out only: small ones gather for 5 s at most."""
    if state.last is None or not 0 < at_s - state.last.at_s < OBSERVE_EVERY_S:
        return step
    small = 0 < step - current < math.ceil(_STEP_BETWEEN_SHARE * current)
    return current if small else step


def slow_after_s(start_up: StartUp) -> float:
    """Give the age at which a starting pod looks stalled."""
    if not start_up.known:
        return 2 * start_up.estimate_s
    return max(start_up.mean_s + 2 * start_up.deviation_s, 1.5 * start_up.estimate_s)


def _stalled_since_s(outlook: Outlook, state: State, replicas: Replicas) -> float | None:
    """Give since when no pod becomes ready though one has long been starting."""
    slow_s = slow_after_s(state.start_up)
    last_ready_at_s = state.start_up.last_ready_at_s
    progress = last_ready_at_s is not None and last_ready_at_s >= outlook.at_s - slow_s
    if progress or not any(age_s > slow_s for age_s in replicas.starting_ages_s):
        return None
    return outlook.at_s if state.stalled_since_s is None else state.stalled_since_s


def _most_while_stalled(ready: int, stalled_s: float) -> int:
    """Bound the pods while none starts: more of them cannot help, a few keep trying."""
    if stalled_s <= _STALL_PATIENCE_S:
        return 2 * ready + 4
    return ready + max(2, math.ceil(ready / 2))
