"""Say why, with the numbers the decision was made of: the status line."""

import math
from dataclasses import dataclass

from queueworker_operator.decision.model import Decision, Policy, Reason, Sample
from queueworker_operator.decision.outlook import Outlook
from queueworker_operator.decision.plan import Plan
from queueworker_operator.decision.restraint import Restrained
from queueworker_operator.decision.saturation import bottleneck_of
from queueworker_operator.decision.sizing import Shortage
from queueworker_operator.decision.state import Guard, GuardMode, State
from queueworker_operator.text import counted

_WHOLE_FROM = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision with all that led to it."""

    policy: Policy
    state: State
    sample: Sample
    outlook: Outlook
    plan: Plan
    restrained: Restrained
    current: int
    desired: int


def explain(verdict: Verdict) -> Decision:
    """Give the decision with its reason, its status line and the estimates it rests on."""
    reason, outlook, guard = reason_of(verdict), verdict.outlook, verdict.state.guard
    return Decision(
        desired=verdict.desired,
        current=verdict.current,
        reason=reason,
        message=f"{change(verdict.current, verdict.desired)}: {_because(verdict, reason)}",
        slots=outlook.slots,
        service_s=outlook.service_s,
        start_up_s=outlook.start_up_s,
        arrival_rate_per_s=outlook.arrival_rate_per_s,
        forecast_rate_per_s=outlook.forecast_rate_per_s,
        slots_assumed=outlook.slots_assumed,
        unclaimable=outlook.unclaimable,
        bottleneck=bottleneck_of(verdict.policy, guard, outlook.at_s),
        bottleneck_told=prospect_of(guard, outlook.at_s) if guard.cap else "",
    )


def change(current: int, desired: int) -> str:
    """Write `6->9`, or `6` when nothing changes."""
    return f"{current}->{desired}" if desired != current else f"{current}"


def reason_of(verdict: Verdict) -> Reason:
    """Name what decided: a limit first, else what drove the size."""
    policy, restrained = verdict.policy, verdict.restrained
    stalled = restrained.stalled_since_s is not None
    limits = {
        Reason.PODS_NOT_STARTING: restrained.refused > 0 or (stalled and not _grows(verdict)),
        Reason.SATURATED: restrained.saturated and verdict.desired == restrained.replicas,
        Reason.MAX_REPLICAS: restrained.replicas - restrained.climbing > policy.max_replicas
        or (verdict.plan.limited and verdict.desired >= policy.max_replicas),
        Reason.SCHEDULE: _is_scheduled(verdict),
        Reason.MIN_REPLICAS: verdict.plan.enough <= policy.min_replicas and _grows(verdict),
        Reason.ROLLOUT: restrained.rollout,
    }
    return next((reason for reason, binds in limits.items() if binds), _driver(verdict))


def _is_scheduled(verdict: Verdict) -> bool:
    """Tell whether the schedule's floor holds more than else were kept or asked for."""
    floor, plan, desired = verdict.policy.floor, verdict.plan, verdict.desired
    if floor is None or floor.replicas <= verdict.policy.min_replicas:
        return False
    return max(plan.enough, plan.keep) <= floor.replicas == desired >= verdict.current


def _grows(verdict: Verdict) -> bool:
    return verdict.desired > verdict.current


def _driver(verdict: Verdict) -> Reason:
    if verdict.desired <= verdict.current:
        if verdict.desired == 0:
            return Reason.IDLE
        return Reason.STEADY if verdict.desired == verdict.current else Reason.SURPLUS
    if verdict.current == 0 and verdict.outlook.backlog > 0:
        return Reason.FIRST_JOB
    waiting = verdict.outlook.backlog > 0 and not verdict.plan.outgrown
    return Reason.BACKLOG if waiting else Reason.FORECAST


def _because(verdict: Verdict, reason: Reason) -> str:
    match reason:
        case Reason.IDLE:
            return _idle(verdict)
        case Reason.MIN_REPLICAS:
            return f"minReplicas is {verdict.policy.min_replicas}"
        case _:
            return f"{_numbers(verdict.outlook)}{_consequence(verdict, reason)}"


def _consequence(verdict: Verdict, reason: Reason) -> str:
    promise, floor = f" (promise {seconds(verdict.outlook.promise_s)})", verdict.policy.floor
    match reason:
        case Reason.FIRST_JOB | Reason.BACKLOG | Reason.FORECAST:
            text = f"; {_prospect(verdict)}"
        case Reason.SURPLUS:
            stricter = seconds(verdict.outlook.scale_in_deadline_s)
            text = f"; {counted(verdict.desired, 'pod')} would start each job within {stricter}{promise}"
        case Reason.MAX_REPLICAS:
            text = f"; maxReplicas is {verdict.policy.max_replicas}{promise}"
        case Reason.PODS_NOT_STARTING:
            text = f"; {_stalled(verdict)}"
        case Reason.SATURATED:
            text = f"; {prospect_of(verdict.state.guard, verdict.outlook.at_s)}"
        case Reason.SCHEDULE if floor is not None:
            text = f"; {floor.told}"
        case Reason.ROLLOUT:
            text = "; no scale-in during a rollout"
        case _:
            text = promise
    return text


def _numbers(outlook: Outlook) -> str:
    oldest = f" (oldest {seconds(outlook.oldest_age_s)})" if outlook.backlog > 0 else ""
    rate, service = number(outlook.arrival_rate_per_s), seconds(outlook.service_s)
    return f"{outlook.backlog:.0f} waiting{oldest} + {rate}/s arriving x {service}/job"


def _prospect(verdict: Verdict) -> str:
    outlook, plan = verdict.outlook, verdict.plan
    promise, ready_in = seconds(outlook.promise_s), seconds(outlook.start_up_s)
    new = f"new pods ready in {ready_in}"
    if plan.pods == 0:
        return f"no pod is there (promise {promise}); {new}"
    if plan.shortage is None:
        return f"with {counted(plan.pods, 'pod')} too few slots would be free (promise {promise}); {new}"
    return f"with {counted(plan.pods, 'pod')} {_fate(outlook, plan, plan.shortage)}; {new}"


def _fate(outlook: Outlook, plan: Plan, shortage: Shortage) -> str:
    """Say what becomes of the job whose deadline is missed by the most jobs."""
    promise, planned = seconds(outlook.promise_s), seconds(outlook.deadline_s)
    waits_s = wait_of(outlook, plan.pods, shortage, outlook.deadline_s)
    if waits_s is None:
        kind = "announced" if outlook.burst_in_s is None else "expected"
        jobs = counted(round(shortage.missing), f"{kind} job")
        return f"{jobs} would start too late (promise {promise})"
    margin = f", planned {planned}" if waits_s <= outlook.promise_s else ""
    who = job_of(shortage, outlook.deadline_s)
    return f"{who} would wait {duration(waits_s)} (promise {promise}{margin})"


def wait_of(outlook: Outlook, pods: int, shortage: Shortage, deadline_s: float) -> float | None:
    """Give how long the job of a missed deadline waits with `pods` pods; infinite beyond a day.

    None when it is not the stream's capacity that makes it late but jobs announced together.
    """
    arrives_s = shortage.time_s - deadline_s
    waits_s = outlook.capacity.time_for(shortage.jobs, pods) - arrives_s
    return None if waits_s <= deadline_s else waits_s


def job_of(shortage: Shortage, deadline_s: float) -> str:
    """Name the job whose deadline it is by when it came or comes."""
    arrives_s = shortage.time_s - deadline_s
    if arrives_s <= -1:
        return f"the job waiting for {seconds(-arrives_s)}"
    return (
        "the job arriving now"
        if arrives_s < 1
        else f"the job arriving {seconds(arrives_s)} from now"
    )


def duration(value_s: float) -> str:
    """Write seconds, or that they have no end."""
    return seconds(value_s) if math.isfinite(value_s) else "for ever"


def _idle(verdict: Verdict) -> str:
    active_at_s = verdict.state.idle.active_at_s
    if active_at_s is None or verdict.desired == verdict.current:
        return "no work"
    return f"no work for {seconds(verdict.outlook.at_s - active_at_s)}"


def _stalled(verdict: Verdict) -> str:
    since_s = verdict.restrained.stalled_since_s or verdict.outlook.at_s
    wanted = (
        f"; {counted(verdict.restrained.refused, 'pod')} more wanted"
        if verdict.restrained.refused
        else ""
    )
    return f"no pod becomes ready (for {seconds(verdict.outlook.at_s - since_s)}){wanted}"


def prospect_of(guard: Guard, at_s: float) -> str:
    """Tell what the guard found and what it does next."""
    found = f"{counted(guard.from_pods, 'pod')} finished no more jobs than"
    match guard.mode:
        case GuardMode.DOWN if guard.first:
            return f"{found} fewer; trying {guard.cap}"
        case GuardMode.DOWN | GuardMode.UP:
            return f"{found} {guard.before}; trying {guard.cap}"
        case _:
            left_s = max(guard.since_s + guard.wait_s - at_s, 0.0)
            return f"{found} {guard.cap}; held there, next try in {seconds(left_s)}"


def number(value: float) -> str:
    """Write a number as short as it stays true: 2.1, 35, 412."""
    return f"{value:.0f}" if value >= _WHOLE_FROM else f"{value:.1f}".removesuffix(".0")


def seconds(value_s: float) -> str:
    """Write seconds as in the status line: 2.1s, 18s."""
    return f"{number(value_s)}s"
