"""The two pure functions of the controller: fold a sample in, and size the workload now."""

from dataclasses import replace

from queueworker_operator.decision.estimate import (
    Flow,
    flow_between,
    learn_arrivals,
    learn_lateness,
    learn_service,
    learn_start_up,
    learn_stuck,
    usable,
    without_left_out,
)
from queueworker_operator.decision.evidence import without_ticks
from queueworker_operator.decision.explain import Verdict, change, explain, seconds
from queueworker_operator.decision.model import (
    Decision,
    Mode,
    Policy,
    Reason,
    Replicas,
    Sample,
)
from queueworker_operator.decision.outlook import late_target, look, slots_of
from queueworker_operator.decision.plan import allow_zero, make_plan
from queueworker_operator.decision.recurrence import Returns, Rhythm, Season
from queueworker_operator.decision.regime import BUFFERED, OBSERVE_EVERY_S, TIGHT, Regime, is_tight
from queueworker_operator.decision.restraint import restrain, without_stuck
from queueworker_operator.decision.returns import learn_returns
from queueworker_operator.decision.rhythm import learn_rhythm, next_burst, surprises
from queueworker_operator.decision.saturation import learn_saturation
from queueworker_operator.decision.season import learn_season
from queueworker_operator.decision.state import Arrivals, Guard, StartUp, State
from queueworker_operator.decision.zero import is_warm, learn_gaps

_CLOCK_JUMP_S = 60.0
_BEFORE_BURST_S = 75.0


def observe(policy: Policy, state: State, sample: Sample, replicas: Replicas) -> State:
    """Fold exactly one sample; call it each `OBSERVE_EVERY_S` of sample time.

    A sample that cannot be used, or is not newer, changes nothing. The first, also after the clock
    or a counter went back, only sets the counters' base: what came before is unknown, not zero.
    """
    if not usable(sample):
        return state
    if state.last is None:
        return _begin(state, sample, replicas)
    if sample.at_s <= state.last.at_s:
        jumped = sample.at_s < state.last.at_s - _CLOCK_JUMP_S
        return _begin(_without_times(state), sample, replicas) if jumped else state
    flow = flow_between(state.last, sample)
    if flow is None:
        return _begin(state, sample, replicas)
    remembered = _without_stuck(policy, state, sample, replicas)
    flow = without_left_out(flow, _left_out(sample, remembered) - _left_out(state.last, state))
    start_up = learn_start_up(state.start_up, replicas, sample.at_s)
    regime = _regime(policy, state, start_up)
    rhythm = learn_rhythm(state.rhythm, flow, sample.at_s, state.arrivals.ticks)
    arrivals = _arrivals(state, rhythm, flow, regime)
    learned = replace(
        remembered,
        last=sample,
        observations=state.observations + 1,
        arrivals=arrivals,
        service=learn_service(state.service, flow, regime),
        start_up=start_up,
        lateness=learn_lateness(
            state.lateness, flow, arrivals.rate_per_s, late_target(policy, regime)
        ),
        tight=regime is TIGHT,
        idle=learn_gaps(state.idle, sample, flow.claimable),
        returns=_returns(state, rhythm, sample.at_s, flow) if regime is TIGHT else Returns(),
        rhythm=rhythm,
        season=_season(state, flow, sample) if regime is TIGHT else Season(),
        slots=sample.slots_per_pod or state.slots,
    )
    return learn_saturation(policy, learned, flow, sample, replicas)


def decide(
    policy: Policy,
    state: State,
    sample: Sample | None,
    replicas: Replicas,
    *,
    blind_s: float = 0.0,
) -> tuple[Decision, State]:
    """Size the workload for this sample; may run each second between two observations.

    `sample` None (or one that cannot be used) holds: nothing is scaled on missing data, but what
    the policy's fallback says once that lasts: `blind_s` since the last reading.
    """
    fixed = _fixed(policy, replicas)
    if fixed is not None:
        return fixed, state
    if sample is None or not usable(sample):
        return _blind(policy, replicas, blind_s), state
    verdict = weigh(policy, state, sample, replicas)
    restrained = verdict.restrained
    remembered = replace(
        state,
        wanted=restrained.wanted,
        stalled_since_s=restrained.stalled_since_s,
        wish=min(restrained.wish, policy.max_replicas),
    )
    return explain(verdict), remembered


def weigh(policy: Policy, state: State, sample: Sample, replicas: Replicas) -> Verdict:
    """Size for a usable sample, and give all that leads to the number."""
    outlook = look(policy, state, sample, replicas)
    plan = make_plan(policy, state, outlook)
    if policy.fewest < 1:
        plan = allow_zero(plan, warm=is_warm(policy, state, sample, outlook))
    restrained = restrain(outlook, plan, state, replicas)
    return Verdict(
        policy=policy,
        state=state,
        sample=sample,
        outlook=outlook,
        plan=plan,
        restrained=restrained,
        current=replicas.current,
        desired=min(max(restrained.replicas, policy.fewest), policy.max_replicas),
    )


def _arrivals(state: State, rhythm: Rhythm, flow: Flow, regime: Regime) -> Arrivals:
    surprising = surprises(flow, state.rhythm, rhythm, state.arrivals.ticks)
    return learn_arrivals(state.arrivals, surprising, regime)


def _without_stuck(policy: Policy, state: State, sample: Sample, replicas: Replicas) -> State:
    """Learn what nobody claims, and what is still wanted without it."""
    slots, _ = slots_of(policy, state, sample)
    stuck = learn_stuck(state.stuck, sample, replicas, slots)
    wanted = without_stuck(state.wanted, state.stuck, stuck, replicas.ready * slots)
    return replace(state, stuck=stuck, wanted=wanted)


def _left_out(sample: Sample, state: State) -> float:
    return sample.unclaimable + state.stuck.jobs


def _season(state: State, flow: Flow, sample: Sample) -> Season:
    return learn_season(state.season, flow, sample.at_s, state.arrivals.rate_per_s)


def _returns(state: State, rhythm: Rhythm, at_s: float, flow: Flow) -> Returns:
    """Learn what was let go too early; what a rhythm brings back is no reason to hold."""
    pods = state.wanted[-1][1] if state.wanted else 0.0
    learned = learn_returns(state.returns, at_s, pods, flow.elapsed_s)
    burst = next_burst(state.rhythm, at_s)
    if burst is None:
        return Returns(levels=learned.levels) if next_burst(rhythm, at_s) else learned
    near = at_s >= burst.earliest_s - _BEFORE_BURST_S
    return replace(learned, weights=state.returns.weights) if near else learned


def _fixed(policy: Policy, replicas: Replicas) -> Decision | None:
    """Give the decision that no estimate is needed for, if one applies."""
    if policy.mode is Mode.PAUSED:
        return _held(replicas, Reason.PAUSED, "paused, nothing is changed")
    if policy.replicas is not None:
        line = f"{change(replicas.current, policy.replicas)}: spec.replicas is {policy.replicas}"
        return Decision(
            desired=policy.replicas, current=replicas.current, reason=Reason.MANUAL, message=line
        )
    return None


def _blind(policy: Policy, replicas: Replicas, blind_s: float) -> Decision:
    """Hold, or scale out to what the user wants without metrics; never in.

    A schedule needs no metrics, only the time.
    """
    current, fallback, floor = replicas.current, policy.fallback, policy.floor
    scheduled = floor.replicas if floor else 0
    if fallback is not None and blind_s >= fallback.after_s and fallback.replicas >= scheduled:
        desired = max(current, min(fallback.replicas, policy.max_replicas))
        why = f"no metrics for {seconds(blind_s)}; spec.fallback.replicas is {fallback.replicas}"
        return _outgrown(replicas, desired, Reason.FALLBACK, why)
    if floor is not None and scheduled > current:
        why = f"no metrics; {floor.told}"
        return _outgrown(replicas, policy.fewest, Reason.SCHEDULE, why)
    return _held(replicas, Reason.NO_METRICS, "no metrics, held")


def _outgrown(replicas: Replicas, desired: int, reason: Reason, why: str) -> Decision:
    line = f"{change(replicas.current, desired)}: {why}"
    return Decision(desired=desired, current=replicas.current, reason=reason, message=line)


def _regime(policy: Policy, state: State, start_up: StartUp) -> Regime:
    tight = is_tight(
        promise_s=policy.start_within_s,
        lead_s=start_up.estimate_s + OBSERVE_EVERY_S,
        start_ups=start_up.count,
        was_tight=state.tight,
    )
    return TIGHT if tight else BUFFERED


def _held(replicas: Replicas, reason: Reason, why: str) -> Decision:
    current = replicas.current
    return Decision(desired=current, current=current, reason=reason, message=f"{current}: {why}")


def _begin(state: State, sample: Sample, replicas: Replicas) -> State:
    """Take the sample as the base of all counters: for a minute nothing is scaled in.

    Pods that are there count as recent work.
    """
    return replace(
        state,
        last=sample,
        observations=0,
        start_up=learn_start_up(state.start_up, replicas, sample.at_s),
        evidence=without_ticks(state.evidence),
        idle=learn_gaps(state.idle, sample, replicas.current),
        slots=sample.slots_per_pod or state.slots,
    )


def _without_times(state: State) -> State:
    """Forget every instant: they lie in the future of a clock that jumped back."""
    return replace(
        state,
        start_up=replace(state.start_up, last_ready_at_s=None),
        idle=replace(state.idle, pausing=False, active_at_s=None),
        wanted=(),
        stalled_since_s=None,
        guard=Guard(),
        returns=Returns(),
        rhythm=Rhythm(),
        season=Season(),
    )
