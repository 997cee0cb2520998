"""Whole stories, simulated second by second: what is late, what it costs, how often it moves."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.fluid import Arrival, Outcome, Scenario, simulate, stream

from queueworker_operator.decision.model import Policy, Reason, Saturation

SPEND = Saturation.SPEND
Draw = Callable[[random.Random], float]


def between(low: float, high: float) -> Draw:
    return lambda rng: rng.uniform(low, high)


def exponential(mean: float) -> Draw:
    return lambda rng: rng.expovariate(1 / mean)


def burst(at_s: float, jobs: int, service_s: Draw) -> tuple[Arrival, ...]:
    rng = random.Random(3)
    return tuple(Arrival(at_s=at_s, service_s=service_s(rng)) for _ in range(jobs))


def poisson(rate_per_s: float, from_s: float, to_s: float, service_s: Draw) -> tuple[Arrival, ...]:
    rng = random.Random(5)
    return tuple(stream(rng, rate_per_s=rate_per_s, from_s=from_s, to_s=to_s, service_s=service_s))


def sizes(outcome: Outcome) -> list[int]:
    return [change.decision.desired for change in outcome.changes]


def pod_seconds(outcome: Outcome) -> int:
    return sum(outcome.pods)


def work_pod_s(scenario: Scenario) -> float:
    return sum(job.service_s for job in scenario.arrivals) / scenario.slots


@pytest.mark.parametrize("at_s", [2.5, 100.5, 103.0, 104.9])
def test_a_first_burst_from_zero_is_one_step_to_its_full_size_and_back_to_zero(at_s: float) -> None:
    scenario = Scenario(
        policy=Policy(max_replicas=200),
        arrivals=burst(at_s, 2000, between(0.1, 1.0)),
        lasts_s=900.0,
    )

    outcome = simulate(scenario)

    assert 40 <= sizes(outcome)[0] <= 48  # 2,000 jobs of 2 s (the prior), 10 slots, in 10 s
    assert outcome.changes[0].at_s - at_s <= 1.0
    assert outcome.changes[0].decision.reason is Reason.FIRST_JOB
    assert sizes(outcome) == sorted(sizes(outcome), reverse=True)
    assert sizes(outcome)[-1] == 0
    assert len(outcome.waits_s) == 2000
    assert outcome.late_percent == 0.0


def test_bursts_of_known_jobs_are_one_step_each_of_the_size_they_need() -> None:
    times_s = (100.5, 1000.5, 2100.5, 2900.5)
    scenario = Scenario(
        policy=Policy(max_replicas=200),
        arrivals=sum((burst(at_s, 2000, between(0.1, 1.0)) for at_s in times_s), ()),
        lasts_s=3600.0,
    )

    outcome = simulate(scenario)

    outwards = [
        change.decision
        for change in outcome.changes
        if change.decision.desired > change.decision.current
    ]
    assert len(outwards) == len(times_s)
    assert all(10 <= decision.desired <= 14 for decision in outwards[1:])
    assert outcome.late_percent <= 0.1
    assert outcome.reversals == 0


def test_bursts_whose_shortest_jobs_end_first_are_on_time() -> None:
    draw = exponential(2.0)
    bursts = (
        sorted(burst(at_s, jobs, draw), key=lambda job: job.service_s)
        for at_s, jobs in ((1000.5, 60), (1005.5, 340))
    )
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60),
        arrivals=(*poisson(0.5, 0.0, 700.0, draw), *(job for jobs in bursts for job in jobs)),
        lasts_s=1200.0,
        slots=4,
        start_up_s=lambda rng: rng.uniform(13.0, 19.0),
    )

    assert simulate(scenario).late_percent <= 0.5


def test_with_a_promise_shorter_than_a_start_up_a_burst_is_still_one_step() -> None:
    scenario = Scenario(
        policy=Policy(start_within_s=5.0, max_replicas=200),
        arrivals=sum((burst(at_s, 2000, between(0.1, 1.0)) for at_s in (100.5, 1900.5)), ()),
        lasts_s=2300.0,
    )

    outcome = simulate(scenario)

    first = [size for size in sizes(outcome) if size > 1]
    assert first[0] == max(first)
    second = [
        change.decision
        for change in outcome.changes
        if change.at_s > 1900 and change.decision.desired > change.decision.current
    ]
    assert len(second) == 1


def test_jobs_longer_than_the_prior_are_corrected_once_not_doubled_and_doubled() -> None:
    scenario = Scenario(
        policy=Policy(max_replicas=500),
        arrivals=burst(100.5, 2000, between(4.0, 6.0)),
        lasts_s=900.0,
    )

    outcome = simulate(scenario)

    rising = [size for size in sizes(outcome) if size >= sizes(outcome)[0]]
    assert len(rising) <= 3
    assert max(rising) <= 220  # twice the 100 that 5 s jobs would have needed, no more
    assert outcome.late_percent == 0.0


def test_a_steady_stream_is_served_on_time_with_hardly_a_move() -> None:
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60),
        arrivals=poisson(18.0, 0.0, 1800.0, exponential(2.0)),
        lasts_s=1800.0,
        pods=5,
    )

    outcome = simulate(scenario)

    assert outcome.late_percent <= 0.1
    assert len(outcome.changes) <= 6
    assert pod_seconds(outcome) <= 1.25 * work_pod_s(scenario)


def test_a_steady_stream_with_a_tight_promise_is_served_on_time_with_spare_slots() -> None:
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60, start_within_s=5.0),
        arrivals=poisson(20.0, 0.0, 1800.0, exponential(2.0)),
        lasts_s=1800.0,
        pods=5,
    )

    outcome = simulate(scenario)

    assert outcome.late_percent <= 1.0
    assert len(outcome.changes) <= 12
    assert pod_seconds(outcome) <= 1.4 * work_pod_s(scenario)


def test_a_stream_that_grows_sixfold_is_followed_before_jobs_are_late() -> None:
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60),
        arrivals=(
            *poisson(5.0, 0.0, 600.0, exponential(2.0)),
            *poisson(30.0, 600.0, 1500.0, exponential(2.0)),
        ),
        lasts_s=1500.0,
        pods=1,
    )

    outcome = simulate(scenario)

    assert outcome.late_percent <= 0.5
    assert len(outcome.changes) <= 20
    assert outcome.reversals <= 2
    assert pod_seconds(outcome) <= 1.25 * work_pod_s(scenario)


def test_a_stream_that_jumps_is_followed_in_two_steps_where_the_promise_is_tight() -> None:
    draw = exponential(1.5)
    scenario = Scenario(
        policy=Policy(start_within_s=5.0, min_replicas=1, max_replicas=60),
        arrivals=(*poisson(2.0, 0.0, 600.0, draw), *poisson(25.0, 600.0, 720.0, draw)),
        lasts_s=760.0,
        slots=4,
        start_up_s=lambda rng: rng.uniform(13.0, 19.0),
    )

    outcome = simulate(scenario)

    outwards = [change for change in outcome.changes if 600 < change.at_s < 720 and change.decision.desired > change.decision.current]  # fmt: skip
    assert len(outwards) <= 2
    assert outwards[-1].at_s <= 611
    assert outcome.late_percent <= 20.0


def test_regular_single_jobs_leave_the_queue_at_zero_most_of_the_time() -> None:
    rng = random.Random(11)
    scenario = Scenario(
        policy=Policy(max_replicas=60),
        arrivals=tuple(
            Arrival(at_s=600.0 * hour + rng.uniform(5, 10), service_s=10.0) for hour in range(20)
        ),
        lasts_s=12_000.0,
    )

    outcome = simulate(scenario)

    assert outcome.late_percent <= 5.0  # one of the twenty
    assert sum(outcome.pods[3600:]) <= 0.25 * len(outcome.pods[3600:])


def test_long_jobs_start_on_time_without_a_pod_for_each() -> None:
    scenario = Scenario(
        policy=Policy(max_replicas=60),
        arrivals=(
            *poisson(0.5, 0.0, 900.0, exponential(120.0)),
            *poisson(1.0, 900.0, 2400.0, exponential(120.0)),
        ),
        lasts_s=2700.0,
        slots=4,
    )

    outcome = simulate(scenario)

    assert outcome.late_percent <= 1.0
    assert outcome.reversals <= 4
    assert pod_seconds(outcome) <= 1.25 * work_pod_s(scenario)


@pytest.mark.parametrize(("announced", "late_percent"), [(True, (0.0, 1.0)), (False, (5.0, 100.0))])
def test_announced_jobs_are_on_time_where_surprises_are_late(
    announced: bool, late_percent: tuple[float, float]
) -> None:
    at_due = [
        Arrival(at_s=600.0 + 300 * batch, service_s=1.0, announced=announced)
        for batch in range(5)
        for _ in range(300)
    ]
    scenario = Scenario(
        policy=Policy(start_within_s=5.0, max_replicas=60),
        arrivals=(*at_due, *poisson(5.0, 0.0, 2000.0, exponential(1.0))),
        lasts_s=2000.0,
    )

    outcome = simulate(scenario)

    assert late_percent[0] <= outcome.late_percent <= late_percent[1]


def bottleneck(slots: float) -> Callable[[int], float]:
    """Give the speed of jobs that share what `slots` busy slots use up."""
    return lambda running: min(1.0, slots / max(running, 1))


def test_pods_that_a_bottleneck_makes_useless_are_given_back() -> None:
    shared = bottleneck(24.0)
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60),
        arrivals=(
            *poisson(5.0, 0.0, 300.0, exponential(2.0)),
            *poisson(20.0, 300.0, 1200.0, exponential(2.0)),
        ),
        lasts_s=1200.0,
        slots=4,
        pods=3,
        speed=lambda _, running: shared(running),
    )

    guarded = simulate(scenario)
    spent = simulate(replace(scenario, policy=replace(scenario.policy, saturation=SPEND)))

    assert max(spent.pods[600:]) == 60
    assert sum(guarded.pods[600:]) / 600 <= 1.8 * 6  # six pods use the bottleneck up
    assert len(guarded.waits_s) >= 0.95 * len(spent.waits_s)
    told = {decision.reason for decision in guarded.decisions[600:]}
    assert told <= {Reason.SATURATED, Reason.PODS_NOT_STARTING}
    assert {decision.reason for decision in spent.decisions[600:]} == {Reason.MAX_REPLICAS}


def test_the_cap_comes_off_soon_after_the_bottleneck_is_gone() -> None:
    shared = bottleneck(12.0)
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60),
        arrivals=poisson(10.0, 0.0, 1500.0, exponential(2.0)),
        lasts_s=1500.0,
        slots=4,
        pods=5,
        speed=lambda at_s, running: shared(running) if 200 < at_s < 800 else 1.0,
    )

    outcome = simulate(scenario, keep_records=True)

    caps = [state.guard.cap for state, _, _ in outcome.records]
    assert 1 <= caps[780] <= 6
    assert caps[800 + 300 :] == [0] * 400
    assert all(wait_s <= 30.0 for wait_s in outcome.waits_s[-1000:])


@pytest.mark.parametrize("slower", [2.0, 3.0, 5.0])
def test_an_honest_slowdown_is_answered_with_pods(slower: float) -> None:
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60),
        arrivals=poisson(10.0, 0.0, 1000.0, exponential(2.0)),
        lasts_s=1000.0,
        slots=4,
        pods=6,
        speed=lambda at_s, _: 1.0 if at_s < 300 else 1 / slower,
    )

    outcome = simulate(scenario, keep_records=True)

    assert {state.guard.cap for state, _, _ in outcome.records} == {0}
    assert outcome.pods[-1] >= 4.5 * slower


def test_while_no_pod_starts_only_a_few_keep_trying() -> None:
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60),
        arrivals=poisson(60.0, 0.0, 1500.0, exponential(2.0)),
        lasts_s=1500.0,
        pods=3,
        start_up_s=lambda _: float("inf"),
    )

    outcome = simulate(scenario)

    assert outcome.pods[-1] == 3 + 2
    assert max(outcome.pods[200:]) <= 2 * 3 + 4
    assert outcome.decisions[-1].reason is Reason.PODS_NOT_STARTING
