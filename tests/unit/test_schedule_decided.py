"""What is decided, and said, where a floor holds."""

from dataclasses import replace

import pytest
from tests.support.samples import learned, sample

from queueworker_operator.decision.decide import decide, weigh
from queueworker_operator.decision.model import (
    Decision,
    Fallback,
    Floor,
    Policy,
    Reason,
    Replicas,
)
from queueworker_operator.decision.working import work_out

HELD = Floor(replicas=5, why="schedule '0 8 * * 1-5' until 18:00 Europe/Berlin")


def decided(policy: Policy, *, ready: int = 0, current: int = 0) -> Decision:
    state = learned(service_s=1.0)
    return decide(policy, state, sample(ready=ready), Replicas(current=current, ready=current))[0]


def test_a_floor_starts_pods_and_says_by_which_window() -> None:
    decision = decided(Policy(max_replicas=60, floor=HELD))

    assert (decision.desired, decision.reason) == (5, Reason.SCHEDULE)
    assert decision.message == (
        "0->5: 0 waiting + 0/s arriving x 1s/job; "
        "held at 5 by the schedule '0 8 * * 1-5' until 18:00 Europe/Berlin"
    )


def test_a_floor_keeps_pods_that_nothing_else_keeps() -> None:
    policy = Policy(max_replicas=60, floor=HELD)

    held, free = decided(policy, current=5), decided(replace(policy, floor=None), current=5)

    assert (held.desired, held.reason) == (5, Reason.SCHEDULE)
    assert free.desired < 5


def test_a_backlog_asks_for_more_than_the_floor() -> None:
    decision = decided(Policy(max_replicas=60, floor=HELD), ready=5000, current=5)

    assert decision.desired > 5
    assert decision.reason is Reason.BACKLOG


def test_a_floor_under_min_replicas_says_nothing() -> None:
    decision = decided(Policy(min_replicas=7, max_replicas=60, floor=HELD))

    assert (decision.desired, decision.reason) == (7, Reason.MIN_REPLICAS)


def test_a_schedule_needs_no_metrics_and_ends_no_pod_without_them() -> None:
    policy = Policy(max_replicas=60, floor=HELD)

    begun = decide(policy, learned(), None, Replicas(current=2))[0]
    more = decide(policy, learned(), None, Replicas(current=8))[0]

    assert (begun.desired, begun.reason) == (5, Reason.SCHEDULE)
    assert begun.message.startswith("2->5: no metrics; held at 5 by the schedule")
    assert (more.desired, more.reason) == (8, Reason.NO_METRICS)


@pytest.mark.parametrize(
    ("fallback", "desired", "reason"), [(6, 6, Reason.FALLBACK), (4, 5, Reason.SCHEDULE)]
)
def test_without_metrics_the_larger_of_fallback_and_floor_holds(
    fallback: int, desired: int, reason: Reason
) -> None:
    policy = Policy(max_replicas=60, floor=HELD, fallback=Fallback(replicas=fallback, after_s=60.0))

    decision = decide(policy, learned(), None, Replicas(current=2), blind_s=90.0)[0]

    assert (decision.desired, decision.reason) == (desired, reason)


def test_a_decision_worked_out_by_hand_names_the_window_that_keeps_the_last_pod() -> None:
    policy, replicas = Policy(max_replicas=60, floor=HELD), Replicas(current=5, ready=5)

    working = work_out(weigh(policy, learned(), sample(), replicas))

    assert working.fewer == f"with 4 pods: {HELD.told}"
    assert [(bound.pods, bound.why) for bound in working.bounds if bound.name == "schedule"] == [
        (">= 5", HELD.why)
    ]
