"""The deadline that a promise gives, and when a promise is tight."""

from dataclasses import replace

import pytest
from tests.support.deciding import POLICY, observed
from tests.support.samples import learned, sample

from queueworker_operator.decision.model import Objective
from queueworker_operator.decision.outlook import deadline_s
from queueworker_operator.decision.regime import BUFFERED, TIGHT
from queueworker_operator.decision.state import StartUp


def test_being_late_shortens_the_deadline_and_being_early_lengthens_nothing() -> None:
    late = [sample(5.0 * tick, started_total=50 * tick, late_total=40 * tick) for tick in range(9)]
    early = [sample(5.0 * tick, started_total=50 * tick) for tick in range(9)]
    known = learned(rate_per_s=10.0)

    worse, better = observed(known, late[1:]), observed(known, early[1:])

    assert worse.lateness > 0 > better.lateness
    assert deadline_s(POLICY, BUFFERED, worse.lateness) < 20.0
    assert deadline_s(POLICY, BUFFERED, better.lateness) == 0.85 * 30.0
    assert deadline_s(POLICY, TIGHT, worse.lateness) == 0.75 * 30.0


@pytest.mark.parametrize(
    ("promise_s", "late", "too_many"),
    [(30.0, 4, False), (30.0, 7, True), (5.0, 7, False), (5.0, 12, True)],
)
def test_as_many_may_be_late_as_the_policy_says_and_twice_that_when_tight(
    promise_s: float, late: int, too_many: bool
) -> None:
    policy = replace(POLICY, start_within_s=promise_s, late_percent=5.0)
    seen = [sample(5.0, started_total=100, late_total=late)]

    assert (observed(learned(rate_per_s=20.0), seen, policy=policy).lateness > 0) == too_many


def test_latency_as_the_objective_plans_with_less_than_half_of_the_promise() -> None:
    hasty = replace(POLICY, objective=Objective.LATENCY)

    assert deadline_s(hasty, BUFFERED, 0.0) == 0.43 * 30.0
    assert deadline_s(hasty, TIGHT, 0.0) == 0.43 * 30.0


def test_a_promise_shorter_than_a_start_up_is_tight_with_hysteresis() -> None:
    def tight(promise_s: float, *, was: bool, count: float = 10.0) -> bool:
        start_up = StartUp(count=count, mean_s=15.0)
        state = learned(start_up=start_up, tight=was)
        policy = replace(POLICY, start_within_s=promise_s)
        return observed(state, [sample(5.0)], policy=policy).tight

    assert [tight(promise_s, was=False) for promise_s in (17.0, 19.0, 21.0)] == [True, False, False]
    assert [tight(promise_s, was=True) for promise_s in (17.0, 19.0, 21.0)] == [True, True, False]
    assert not tight(16.0, was=True, count=2.0)
    assert tight(14.0, was=False, count=2.0)
