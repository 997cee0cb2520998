"""Streams, simulated second by second: what is late, what it costs, how often it moves."""

import random

import pytest
from tests.support.fluid import Arrival, Scenario, simulate
from tests.support.stories import exponential, pod_seconds, poisson, work_pod_s

from queueworker_operator.decision.model import Policy


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
