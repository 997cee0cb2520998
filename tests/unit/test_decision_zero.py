"""When a queue without work keeps a pod."""

from dataclasses import replace

import pytest
from tests.support.samples import AT_S, learned, sample

from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.model import Policy, Replicas, Sample
from queueworker_operator.decision.state import Idle, StartUp, State, Stuck
from queueworker_operator.decision.zero import cold_start_risk

POLICY = Policy(max_replicas=60)
TIGHT = Policy(start_within_s=5.0, max_replicas=60)


def pods_after(
    idle_s: float, policy: Policy, state: State, *, current: int = 1, seen: Sample | None = None
) -> int:
    """Give the pods wanted when there was no work for `idle_s`."""
    state = replace(state, idle=replace(state.idle, active_at_s=AT_S - idle_s))
    replicas = Replicas(current=current, ready=current)
    return decide(policy, state, seen or sample(), replicas)[0].desired


def test_the_chance_of_a_late_start_grows_as_the_promise_shrinks() -> None:
    start_up = StartUp(count=10, mean_s=15.0, variance_s2=9.0)

    risks = [cold_start_risk(promise_s, start_up) for promise_s in (60.0, 17.5, 5.0, 1.0)]

    assert risks == sorted(risks)
    assert risks[0] < 1e-6
    assert 0.3 < risks[1] < 0.7
    assert risks[3] > 0.999


def test_an_unknown_start_up_time_is_taken_from_the_prior() -> None:
    assert cold_start_risk(30.0, StartUp()) == pytest.approx(0.25, abs=0.1)
    assert cold_start_risk(30.0, StartUp(count=5, mean_s=0.0)) == cold_start_risk(30.0, StartUp())


def test_where_a_cold_start_is_harmless_the_pod_goes_after_its_break_even() -> None:
    state = learned(start_up_s=20.0)

    assert [pods_after(idle_s, POLICY, state) for idle_s in (19.0, 21.0)] == [1, 0]


def test_where_a_cold_start_would_be_late_the_pod_stays_until_the_gaps_are_known() -> None:
    state = learned(start_up_s=20.0, tight=True)

    assert [pods_after(idle_s, TIGHT, state) for idle_s in (599.0, 601.0)] == [1, 0]


def test_while_gaps_are_unknown_a_likely_start_keeps_the_pod_shorter() -> None:
    def last_s(*, count: float, mean_s: float) -> int:
        state = learned(start_up=StartUp(count=count, mean_s=mean_s))
        return sum(pods_after(float(idle_s), POLICY, state) for idle_s in range(5, 700, 5)) * 5

    assert last_s(count=0.0, mean_s=0.0) == 490
    assert [last_s(count=count, mean_s=15.0) for count in (1.0, 2.0, 3.0)] == [360, 270, 10]
    assert last_s(count=2.0, mean_s=40.0) == 595


def test_with_irregular_gaps_the_pod_stays_for_most_of_them() -> None:
    idle = Idle(gaps_s=tuple(float(gap_s) for gap_s in range(10, 170, 10)))
    state = learned(start_up_s=20.0, tight=True, idle=idle)

    assert [pods_after(idle_s, TIGHT, state) for idle_s in (200.0, 215.0)] == [1, 0]


def test_before_regular_arrivals_a_pod_is_there_again() -> None:
    state = learned(start_up_s=20.0, tight=True, idle=Idle(gaps_s=(600.0,) * 10))

    warm = [pods_after(idle_s, TIGHT, state) for idle_s in (15.0, 25.0, 500.0)]
    woken = pods_after(520.0, TIGHT, state, current=0)

    assert (warm, woken) == ([1, 0, 0], 1)


def test_announced_jobs_wake_a_pod_a_start_up_ahead() -> None:
    state = learned(start_up_s=20.0, tight=True)

    def pods(due_in_s: int) -> int:
        due = (0,) * (due_in_s // 5) + (1,)
        return pods_after(5000.0, TIGHT, state, current=0, seen=sample(due_5s=due))

    assert [pods(due_in_s) for due_in_s in (25, 60)] == [1, 0]


def test_a_cold_queue_goes_to_zero_at_once_from_any_size_though_a_stream_is_remembered() -> None:
    state = learned(start_up_s=20.0, rate_per_s=40.0, service_s=2.0)

    sizes = (9, 4, 2, 1)

    assert [pods_after(100.0, POLICY, state, current=pods) for pods in sizes] == [0, 0, 0, 0]


def test_stuck_jobs_keep_a_pod_but_unknown_tasks_do_not() -> None:
    stuck = learned(stuck=Stuck(jobs=3.0))

    assert pods_after(5000.0, POLICY, stuck, seen=sample(ready=3)) == 1
    assert pods_after(5000.0, POLICY, learned(), seen=sample(ready=3, unclaimable=3)) == 0


def test_a_pod_that_was_there_at_the_first_look_counts_as_work() -> None:
    there = observe(POLICY, State(), sample(), Replicas(current=1, ready=1))
    not_there = observe(POLICY, State(), sample(), Replicas(current=0))

    assert (there.idle.active_at_s, not_there.idle.active_at_s) == (AT_S, None)


def test_a_gap_is_from_the_last_work_to_the_next() -> None:
    state = learned()
    for second in range(5, 305, 5):
        state = observe(POLICY, state, sample(float(second)), Replicas(current=0))

    state = observe(POLICY, state, sample(305.0, enqueued_total=1), Replicas(current=0))

    assert state.idle.gaps_s == (305.0,)
    assert state.idle.active_at_s == AT_S + 305.0
