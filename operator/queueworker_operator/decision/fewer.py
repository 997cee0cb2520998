"""What would have happened with one pod fewer than was decided for."""

import math
from collections.abc import Iterator

from queueworker_operator.decision.explain import (
    Verdict,
    job_of,
    number,
    seconds,
    wait_of,
)
from queueworker_operator.decision.plan import scale_in_test, scale_out_test
from queueworker_operator.decision.restraint import OBSERVATIONS_BEFORE_SCALE_IN, hold_s
from queueworker_operator.decision.sizing import DeadlineTest, Shortage
from queueworker_operator.text import counted


def one_fewer(verdict: Verdict) -> str:
    """Say which deadline one pod fewer would miss and by how much, or what else kept it."""
    pods = verdict.desired - 1
    if pods < 0:
        return "there is no pod to do without"
    out = verdict.desired > verdict.current
    test = (scale_out_test if out else scale_in_test)(verdict.outlook, verdict.outlook.capacity)
    shortage = test.worst(pods)
    told = [] if shortage is None else [_missed(verdict, test, shortage, pods)]
    told += _kept(verdict, pods, missed=shortage is not None)
    return f"with {counted(pods, 'pod')}: " + "; ".join(told or ["every deadline would hold, too"])


def _missed(verdict: Verdict, test: DeadlineTest, shortage: Shortage, pods: int) -> str:
    deadline_s, promise_s = test.demand.deadline_s, verdict.outlook.promise_s
    by = f"by +{seconds(shortage.time_s)} {counted(round(shortage.jobs), 'job')} must have started"
    lacks = f"{number(shortage.missing)} of them would not have"
    waits_s = wait_of(verdict.outlook, pods, shortage, deadline_s)
    if waits_s is None:
        return f"{by}, {lacks}: jobs announced together"
    promise = f"promise {seconds(promise_s)}, planned {seconds(deadline_s)}"
    return f"{by}, {lacks}; {job_of(shortage, deadline_s)} {_waits(waits_s, promise_s)} ({promise})"


def _waits(waits_s: float, promise_s: float) -> str:
    if not math.isfinite(waits_s):
        return "would never start"
    over_s = waits_s - promise_s
    late = f"{seconds(over_s)} too late" if over_s > 0 else "in time, without margin"
    return f"would wait {seconds(waits_s)}, {late}"


def _kept(verdict: Verdict, pods: int, *, missed: bool) -> Iterator[str]:
    """Give what else keeps the last pod."""
    policy, outlook, restrained = verdict.policy, verdict.outlook, verdict.restrained
    if pods < policy.fewest:
        yield policy.fewest_told
    elif missed:
        return
    elif restrained.rollout:
        yield "nothing is scaled in during a rollout"
    elif _is_new(verdict):
        seen = f"{verdict.state.observations} of {OBSERVATIONS_BEFORE_SCALE_IN} samples"
        yield f"nothing is scaled in before enough is known ({seen})"
    elif pods < verdict.plan.keep or pods < verdict.plan.enough:
        yield _needed(verdict, pods)
    elif pods < restrained.held:
        recent = max(then_s for then_s, wanted in restrained.wanted if wanted > pods)
        ago = seconds(outlook.at_s - recent)
        yield f"more were wanted {ago} ago, a need is remembered {seconds(hold_s(outlook))}"
    elif restrained.climbing:
        yield "pods were added twice just now, and one more is taken while that goes on"


def _is_new(verdict: Verdict) -> bool:
    """Tell whether pods are kept because too little was seen to let any go."""
    out = verdict.desired > verdict.current
    return not out and verdict.state.observations < OBSERVATIONS_BEFORE_SCALE_IN


def _needed(verdict: Verdict, pods: int) -> str:
    outlook = verdict.outlook
    if pods == 0:
        return "the first job would find no pod"
    load = outlook.load_rate_per_s * outlook.service_s / (pods * outlook.slots)
    share = outlook.load.late_share(pods, outlook.deadline_s)
    late = f"about {100 * share:.1f} % would start after {seconds(outlook.deadline_s)}"
    return f"its slots would be {100 * load:.0f} % busy with the stream alone, and {late}"
