"""Bursts, simulated second by second: in how few steps they are answered, and whether in time."""

import pytest
from tests.support.fluid import Scenario, simulate
from tests.support.stories import between, burst, exponential, poisson, sizes

from queueworker_operator.decision.model import Policy, Reason


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
