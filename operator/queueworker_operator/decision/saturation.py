"""Fold one tick into what is known about a bottleneck behind all pods."""

from dataclasses import replace

from queueworker_operator.decision.estimate import Flow
from queueworker_operator.decision.evidence import is_limited, learn_evidence
from queueworker_operator.decision.guard import learn_guard
from queueworker_operator.decision.model import (
    Bottleneck,
    Mode,
    Policy,
    Replicas,
    Sample,
    Saturation,
)
from queueworker_operator.decision.outlook import claimable_of, slots_of
from queueworker_operator.decision.regime import OBSERVE_EVERY_S
from queueworker_operator.decision.state import Guard, GuardMode, State
from queueworker_operator.decision.trial import Scene

_TRIALS = {
    GuardMode.DOWN: Bottleneck.TRYING_FEWER,
    GuardMode.HOLD: Bottleneck.HELD,
    GuardMode.UP: Bottleneck.TRYING_MORE,
}


def learn_saturation(
    policy: Policy, state: State, flow: Flow, sample: Sample, replicas: Replicas
) -> State:
    """Fold the tick that led to `sample`; all else of it is folded in `state` already.

    Only pods that the controller sizes can be tested: elsewhere the guard is off.
    """
    slots, _ = slots_of(policy, state, sample)
    waiting = sample.claimable > state.stuck.jobs
    limited = waiting and state.waited and is_limited(sample, replicas, slots)
    evidence = learn_evidence(state.evidence, flow, state.service, limited=limited)
    guard = Guard()
    if _is_on(policy):
        scene = _scene(policy, replace(state, evidence=evidence), sample, flow, slots)
        guard, evidence = learn_guard(state.guard, evidence, scene)
    return replace(state, evidence=evidence, guard=guard, waited=waiting)


def _is_on(policy: Policy) -> bool:
    sized = policy.mode is not Mode.PAUSED and policy.replicas is None
    return sized and policy.saturation is Saturation.PROTECT


def bottleneck_of(policy: Policy, guard: Guard, at_s: float) -> Bottleneck:
    """Tell what is known: an alarm is in question until its first step down has been measured."""
    if not _is_on(policy):
        return Bottleneck.NOT_WATCHED
    if guard.mode is GuardMode.FREE:
        silent = at_s < guard.silent_until_s
        return Bottleneck.FALSE_ALARM if silent else Bottleneck.NOT_SEEN
    if guard.first:
        return Bottleneck.IN_QUESTION
    return _TRIALS[guard.mode]


def _scene(policy: Policy, state: State, sample: Sample, flow: Flow, slots: int) -> Scene:
    return Scene(
        at_s=sample.at_s,
        promise_s=policy.start_within_s,
        fewest=policy.fewest,
        most=policy.max_replicas,
        slots=slots,
        service_s=state.service.estimate_s,
        lead_s=state.start_up.estimate_s + OBSERVE_EVERY_S,
        oldest_age_s=claimable_of(state, sample)[1],
        wish=state.wish,
        busy=flow.busy_s / flow.elapsed_s,
        dispersion=state.evidence.dispersion,
        fastest_s=state.evidence.fastest_s,
    )
