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
