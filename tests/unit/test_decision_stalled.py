"""Jobs that nobody claims, and pods that do not start."""

from dataclasses import replace

import pytest
from tests.support.deciding import POLICY, decided
from tests.support.samples import AT_S, learned, sample

from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.model import (
    Reason,
    Replicas,
)
from queueworker_operator.decision.state import StartUp, Stuck


def test_jobs_that_nobody_claims_ask_for_no_pods() -> None:
    seen = sample(ready=500, oldest_age_s=900.0, unclaimable=300.0)

    decision = decided(
        replace(POLICY, min_replicas=1),
        learned(stuck=Stuck(jobs=200.0)),
        seen,
        Replicas(current=1, ready=1),
    )

    assert (decision.desired, decision.unclaimable) == (1, 500.0)


@pytest.mark.parametrize(("jobs", "after"), [(900, 1), (20, 20)])
def test_pods_that_were_wanted_for_jobs_of_nobody_go_as_soon_as_that_is_known(
    jobs: int, after: int
) -> None:
    there = Replicas(current=20, ready=20)
    policy = replace(POLICY, min_replicas=1, slots_per_pod=4)
    state, desired = learned(wanted=((AT_S, 20.0),)), []
    for after_s in (5.0, 10.0, 15.0, 20.0):
        seen = sample(after_s, ready=jobs, running=2)
        state = observe(policy, state, seen, there)
        decision, state = decide(policy, state, seen, there)
        desired.append(min(decision.desired, there.current))

    assert desired == [20, 20, 20, after]


def test_the_age_of_unclaimable_jobs_does_not_count() -> None:
    seen = sample(ready=30, oldest_age_s=9000.0, running=10, unclaimable=10.0)
    known = learned(rate_per_s=10.0)

    decision = decided(POLICY, known, seen, Replicas(current=2, ready=2))

    assert "20 waiting (oldest 2s)" in decision.message


def test_pods_that_do_not_start_bound_what_is_asked_for() -> None:
    state = learned(start_up=StartUp(count=10, mean_s=15.0, last_ready_at_s=AT_S - 500.0))
    replicas = Replicas(current=40, ready=3, starting_ages_s=(100.0,) * 37)
    seen = sample(ready=9000, oldest_age_s=100.0, running=30)

    first, state = decide(POLICY, state, seen, replicas)
    later, _ = decide(POLICY, state, replace(seen, at_s=AT_S + 601), replicas)

    assert (first.desired, first.reason) == (2 * 3 + 4, Reason.PODS_NOT_STARTING)
    assert later.desired == 3 + 2
    assert "no pod becomes ready (for 601s)" in later.message
    assert "more wanted" in later.message


def test_a_stalled_pod_that_is_not_needed_is_told_without_a_change() -> None:
    replicas = Replicas(current=2, ready=1, starting_ages_s=(35.0,))
    policy = replace(POLICY, min_replicas=2)

    decision = decided(policy, learned(start_up_s=20.0), sample(), replicas)

    assert (decision.desired, decision.reason) == (2, Reason.PODS_NOT_STARTING)
    assert decision.message.endswith("no pod becomes ready (for 0s)")


def test_overdue_pods_are_replaced_a_few_at_a_time() -> None:
    start_up = StartUp(count=10, mean_s=15.0, last_ready_at_s=AT_S)
    replicas = Replicas(current=12, ready=8, starting_ages_s=(50.0,) * 4)
    state = learned(service_s=2.0, rate_per_s=50.0, start_up=start_up)

    decision = decided(POLICY, state, sample(ready=300, oldest_age_s=9.0, running=80), replicas)

    healthy = decided(
        POLICY,
        state,
        sample(ready=300, oldest_age_s=9.0, running=80),
        Replicas(current=8, ready=8),
    )
    assert decision.desired == healthy.desired + 3  # a quarter of nine


def test_a_pod_of_unknown_clock_counts_as_just_created() -> None:
    seen = sample(ready=400, oldest_age_s=1.0)
    strange = Replicas(current=3, starting_ages_s=(float("nan"), -5.0, 0.0))
    plain = Replicas(current=3, starting_ages_s=(0.0, 0.0, 0.0))

    assert decided(POLICY, learned(), seen, strange) == decided(POLICY, learned(), seen, plain)
