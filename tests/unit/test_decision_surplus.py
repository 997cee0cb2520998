"""When pods that are not needed go, and which limits hold."""

from dataclasses import replace
from itertools import pairwise

import pytest
from tests.support.deciding import POLICY, decided
from tests.support.samples import AT_S, learned, sample

from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.model import (
    Reason,
    Replicas,
)
from queueworker_operator.decision.state import Idle, State


def test_replicas_above_the_maximum_come_down_at_once() -> None:
    decision = decided(
        replace(POLICY, max_replicas=4), State(), sample(), Replicas(current=9, ready=9)
    )

    assert (decision.desired, decision.reason) == (4, Reason.MAX_REPLICAS)


def test_the_minimum_is_kept_without_work() -> None:
    policy = replace(POLICY, min_replicas=2)

    decision = decided(policy, learned(), sample(), Replicas(current=0))

    assert (decision.desired, decision.reason) == (2, Reason.MIN_REPLICAS)
    assert decision.message == "0->2: minReplicas is 2"


def test_surplus_goes_only_after_it_was_surplus_for_the_whole_hold() -> None:
    policy = replace(POLICY, min_replicas=1)
    replicas = Replicas(current=6, ready=6)
    state = learned(rate_per_s=5.0)
    loaded = sample(ready=900, oldest_age_s=20.0, running=60)
    _, state = decide(policy, state, loaded, replicas)

    soon, state = decide(policy, state, sample(2.0, running=5), replicas)
    later, _ = decide(policy, state, sample(60.0, running=5), replicas)

    assert (soon.desired, soon.reason) == (6, Reason.STEADY)
    assert later.reason is Reason.SURPLUS
    assert later.desired < 6
    assert "would start each job within 19s (promise 30s)" in later.message


@pytest.mark.parametrize("cold", [True, False])
def test_a_controller_that_knows_nothing_yet_scales_nothing_in(cold: bool) -> None:
    state = learned(observations=11 if cold else 12)

    decision = decided(
        replace(POLICY, min_replicas=1), state, sample(), Replicas(current=6, ready=6)
    )

    assert decision.desired == (6 if cold else 1)


def test_nothing_is_scaled_in_during_a_rollout() -> None:
    replicas = Replicas(current=6, ready=6, rollout=True)

    decision = decided(replace(POLICY, min_replicas=1), learned(), sample(), replicas)

    assert (decision.desired, decision.reason) == (6, Reason.ROLLOUT)
    assert decision.message.endswith("no scale-in during a rollout")


def test_the_last_pod_goes_after_its_break_even_time() -> None:
    state = learned(idle=Idle(active_at_s=AT_S - 14.0))
    replicas = Replicas(current=1, ready=1)

    kept, state = decide(POLICY, state, sample(0.0), replicas)
    gone, _ = decide(POLICY, state, sample(1.5), replicas)

    assert (kept.desired, kept.reason) == (1, Reason.STEADY)
    assert (gone.desired, gone.reason) == (0, Reason.IDLE)
    assert gone.message == "1->0: no work for 16s"


def test_pods_that_are_not_needed_any_more_go_together() -> None:
    policy, rounds = replace(POLICY, min_replicas=1), range(0, 90, 5)
    state = replace(learned(rate_per_s=1.0), observations=30)
    current, changes = 12, []
    wanted = tuple((AT_S - 45 + 2.5 * step, 12.0 - step / 2) for step in range(18))
    state = replace(state, wanted=wanted)
    for after_s in rounds:
        seen = sample(float(after_s), running=1)
        state = observe(policy, state, seen, Replicas(current=current, ready=current))
        decision, state = decide(policy, state, seen, Replicas(current=current, ready=current))
        if decision.desired != current:
            changes.append(after_s)
            current = decision.desired

    assert current == 1
    assert 2 <= len(changes) <= 5
    assert all((later - earlier) % 15 == 0 for earlier, later in pairwise(changes))
