"""How many pods the outlook asks for: enough to scale out to, and enough to keep."""

import math
from dataclasses import dataclass, replace

from queueworker_operator.decision.model import Policy
from queueworker_operator.decision.outlook import Outlook
from queueworker_operator.decision.regime import OBSERVE_EVERY_S, Regime
from queueworker_operator.decision.sizing import Capacity, DeadlineTest, Shortage, smallest
from queueworker_operator.decision.state import State

_SHORTEST_VIEW_S = 30.0
_SHORTEST_GUARD_S = 2 * OBSERVE_EVERY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`enough` pods keep the promise; a scale-in may go down to `keep`.

    `pods` are ready or on their way; `shortage` is the deadline that these would miss the most,
    None when no more pods are needed. `outgrown`: the stream to come alone needs more pods.
    `limited`: not even the most that are allowed are enough.
    """

    enough: int
    keep: int
    pods: int
    shortage: Shortage | None = None
    outgrown: bool = False
    limited: bool = False


def make_plan(policy: Policy, state: State, outlook: Outlook) -> Plan:
    """Size for the promise, and with a stricter deadline and a longer view for what to keep."""
    capacity, most = outlook.capacity, policy.max_replicas
    tail = _tail(outlook.regime, state.lateness)
    steady = _steady(outlook, tail, outlook.deadline_s, most)
    test = scale_out_test(outlook, capacity)
    low = min(max(capacity.pods, steady, policy.fewest), most)
    enough = smallest(low, most, test.passes)
    keep_low = max(policy.fewest, _steady(outlook, tail, outlook.scale_in_deadline_s, most))
    pods, more = capacity.pods, enough > capacity.pods
    return Plan(
        enough=enough if more else steady,
        keep=smallest(keep_low, capacity.pods, scale_in_test(outlook, capacity).passes),
        pods=pods,
        shortage=test.worst(pods) if more else None,
        outgrown=more and not replace(test, demand=replace(test.demand, backlog=0.0)).passes(pods),
        limited=max(enough, pods) >= most and not test.passes(most),
    )


def allow_zero(plan: Plan, *, warm: bool) -> Plan:
    """Keep at least one pod while warm; else let all go at once, whatever the stream's memory.

    In steps the memory would ask for pods again between two of them: 4, 2, 3, 0.
    """
    if warm:
        return replace(plan, enough=max(plan.enough, 1), keep=max(plan.keep, 1))
    return replace(plan, enough=0, keep=0)


def _tail(regime: Regime, lateness: float) -> float:
    """Give the share that may wait beyond the deadline; being late makes it smaller."""
    if regime.tail >= 1:
        return 1.0
    return min(max(regime.tail * math.exp(-8 * lateness), 0.001), 0.9)


def _steady(outlook: Outlook, tail: float, deadline_s: float, most: int) -> int:
    limit = outlook.regime.load_limit
    return outlook.load.pods(load_limit=limit, tail=tail, deadline_s=deadline_s, most=most)


def scale_out_test(outlook: Outlook, capacity: Capacity) -> DeadlineTest:
    """Look only at deadlines that a pod created now can still help.

    Announced jobs count from when a pod created 5 s later would be too late for them.
    """
    deadline_s = outlook.deadline_s
    guard_s = max(outlook.regime.guard_share * deadline_s, _SHORTEST_GUARD_S)
    first_s = outlook.lead_s + guard_s
    last_s = max(
        first_s + _SHORTEST_VIEW_S, outlook.lead_s + deadline_s + max(deadline_s, _SHORTEST_VIEW_S)
    )
    if first_s > deadline_s + _SHORTEST_VIEW_S:
        last_s = first_s + deadline_s + _SHORTEST_VIEW_S
    demand = outlook.demand(deadline_s)
    soon = demand.announced.within(first_s - deadline_s + OBSERVE_EVERY_S)
    demand = replace(demand, announced=soon)
    return DeadlineTest(capacity=capacity, demand=demand, first_s=first_s, last_s=last_s)


def scale_in_test(outlook: Outlook, capacity: Capacity) -> DeadlineTest:
    """Look from now until a pod removed now would have paid for its own return."""
    deadline_s = outlook.scale_in_deadline_s
    break_even_s = outlook.regime.break_even * (outlook.start_up_s + outlook.drain_s)
    last_s = outlook.lead_s + deadline_s + max(deadline_s, _SHORTEST_VIEW_S, break_even_s)
    demand = outlook.demand(deadline_s)
    return DeadlineTest(capacity=capacity, demand=demand, first_s=0.0, last_s=last_s)
