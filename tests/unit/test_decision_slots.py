"""Where the number of slots comes from, and the spare ones of a tight promise."""

from dataclasses import replace

import pytest
from tests.support.deciding import POLICY, TIGHT, decided
from tests.support.samples import learned, sample

from queueworker_operator.decision.model import (
    Reason,
    Replicas,
)
from queueworker_operator.decision.state import Arrivals, State


@pytest.mark.parametrize(
    ("policy_slots", "sample_slots", "state_slots", "expected"),
    [
        (7, 5, 3, (7, False)),
        (None, 5, 3, (5, False)),
        (None, None, 3, (3, False)),
        (None, None, 0, (4, True)),
    ],
)
def test_slots_come_from_the_policy_the_workers_or_the_memory(
    policy_slots: int | None, sample_slots: int | None, state_slots: int, expected: tuple[int, bool]
) -> None:
    policy = replace(POLICY, slots_per_pod=policy_slots, default_slots=4)

    decision = decided(
        policy, State(slots=state_slots), sample(slots_per_pod=sample_slots), Replicas(current=0)
    )

    assert (decision.slots, decision.slots_assumed) == expected


def test_a_tight_promise_keeps_spare_slots() -> None:
    buffered, tight = learned(rate_per_s=20.0), learned(rate_per_s=20.0, tight=True)
    replicas = Replicas(current=2, ready=2)

    few = decided(POLICY, buffered, sample(running=20), replicas).desired
    more = decided(TIGHT, tight, sample(running=20), replicas)

    assert more.desired > few
    assert more.reason is Reason.FORECAST


@pytest.mark.parametrize(
    ("newest", "tight", "desired"),
    [((121.0, 144.0), True, 3), ((121.0, 144.0), False, 1), ((10.0, 1000.0), True, 1)],
)
def test_a_jump_that_lasts_for_two_ticks_is_provided_for_when_tight(
    newest: tuple[float, float], tight: bool, desired: int
) -> None:
    arrivals = Arrivals(rate_per_s=8.0, ticks=(*(40.0,) * 58, *newest))
    state = learned(tight=tight, arrivals=arrivals)

    decision = decided(
        TIGHT if tight else POLICY, state, sample(running=10), Replicas(current=2, ready=2)
    )

    assert decision.desired == desired


def test_too_few_free_slots_are_named_when_no_deadline_is_missed() -> None:
    state = learned(rate_per_s=19.7, service_s=1.0, tight=True)

    decision = decided(TIGHT, state, sample(running=19), Replicas(current=2, ready=2))

    assert decision.desired == 3
    assert "with 2 pods too few slots would be free (promise 5s)" in decision.message


def test_announced_jobs_are_provided_for_before_they_are_due() -> None:
    state = learned(tight=True)
    due = (0,) * 4 + (300,)

    decision = decided(TIGHT, state, sample(due_5s=due, running=1), Replicas(current=1, ready=1))

    assert decision.desired > 1
    assert "announced jobs would start too late" in decision.message
