"""How many pods a backlog or a stream asks for, and what is said about it."""

from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest
from tests.support.deciding import POLICY, decided
from tests.support.samples import AT_S, learned, sample

from queueworker_operator.decision.decide import decide, observe, weigh
from queueworker_operator.decision.model import (
    Policy,
    Reason,
    Replicas,
)
from queueworker_operator.decision.state import Arrivals, Evidence, State


def test_slots_that_long_jobs_hold_are_demand() -> None:
    seen = sample(1.0, ready=4, oldest_age_s=1.0, running=10, slots_per_pod=1)
    pods = Replicas(current=10, ready=10)

    short = decide(POLICY, learned(service_s=1.0), seen, pods)[0]
    long = decide(POLICY, learned(service_s=300.0), seen, pods)[0]

    assert long.desired > 10 >= short.desired


def test_the_job_that_waits_already_is_told_where_its_deadline_is_missed_by_the_most() -> None:
    seen = sample(1.0, ready=1000, oldest_age_s=100.0, running=4, slots_per_pod=4)
    policy = Policy(max_replicas=200, start_within_s=120.0)
    pods = Replicas(current=3, ready=1, starting_ages_s=(0.0, 0.0))

    decision = decided(policy, learned(start_up_s=40.0), seen, pods)

    assert "with 3 pods the job waiting for 47s would wait" in decision.message


def test_announced_jobs_that_would_start_too_late_are_told() -> None:
    due = (0,) * 4 + (100,)
    seen = sample(1.0, due_5s=due, slots_per_pod=4)
    policy = Policy(max_replicas=200, start_within_s=5.0)

    decision, _ = decide(policy, learned(), seen, Replicas(current=1, ready=1))

    assert decision.reason is Reason.FORECAST
    assert "announced jobs would start too late (promise 5s" in decision.message


def test_a_burst_is_answered_in_one_step_before_any_observation_of_it() -> None:
    seen = sample(1.0, ready=2000, oldest_age_s=0.5, enqueued_total=2000)

    decision = decided(replace(POLICY, max_replicas=100), State(), seen, Replicas(current=0))

    assert (decision.desired, decision.reason) == (40, Reason.FIRST_JOB)
    assert decision.message == (
        "0->40: 2000 waiting (oldest 0.5s) + 0/s arriving x 2s/job; no pod is there (promise 30s); "
        "new pods ready in 30s"
    )
    assert decision.slots_assumed


def test_one_job_takes_a_queue_from_zero_to_one_pod() -> None:
    decision = decided(POLICY, State(), sample(ready=1), Replicas(current=0))

    assert (decision.desired, decision.reason) == (1, Reason.FIRST_JOB)


def test_a_queue_where_no_work_was_seen_stays_at_zero() -> None:
    state = observe(POLICY, State(), sample(), Replicas(current=0))

    decision = decided(POLICY, state, sample(1.0), Replicas(current=0))

    assert (decision.desired, decision.message) == (0, "0: no work")
    assert decision.reason is Reason.IDLE


def test_the_status_line_tells_the_numbers_of_a_backlog() -> None:
    state = learned(service_s=2.1, start_up_s=22.0, rate_per_s=25.0)
    seen = sample(2.0, ready=1412, oldest_age_s=18.0, running=60, slots_per_pod=10)

    decision = decided(POLICY, state, seen, Replicas(current=6, ready=6))

    assert decision.reason is Reason.BACKLOG
    assert decision.message == (
        f"6->{decision.desired}: 1412 waiting (oldest 18s) + 25/s arriving x 2.1s/job; with 6 pods "
        "the job arriving 12s from now would wait 48s (promise 30s); new pods ready in 22s"
    )
    assert decision.desired > 6


def test_the_wait_that_is_told_is_the_wait_that_the_numbers_give() -> None:
    state = learned(service_s=2.0, start_up_s=15.0, rate_per_s=0.0)
    seen = sample(1.0, ready=1000, oldest_age_s=1.0, slots_per_pod=10)

    decision = decided(POLICY, state, seen, Replicas(current=2, ready=2))

    assert "the job arriving 4.5s from now would wait 96s" in decision.message  # 1000/10 - 4.5


def test_a_growing_stream_is_answered_before_there_is_a_backlog() -> None:
    state = learned(service_s=2.0, rate_per_s=40.0)

    decision = decided(POLICY, state, sample(running=40), Replicas(current=5, ready=5))

    assert (decision.desired > 5, decision.reason) == (True, Reason.FORECAST)
    assert "the job arriving" in decision.message


def test_pods_already_starting_are_not_asked_for_twice() -> None:
    state = learned(service_s=2.0)
    seen = sample(1.0, ready=1000, oldest_age_s=1.0, slots_per_pod=10)
    asked = decided(POLICY, state, seen, Replicas(current=0)).desired

    for starting in ((), (0.5,) * asked):
        again = decided(POLICY, state, seen, Replicas(current=asked, starting_ages_s=starting))

        assert (again.desired, again.reason) == (asked, Reason.STEADY)


def test_pods_that_are_asked_for_and_not_created_yet_count_as_starting() -> None:
    asked = Replicas(current=10)
    known = learned(service_s=2.0)

    same = decided(POLICY, known, sample(1.0, ready=700, oldest_age_s=1.0), asked)
    more = decided(POLICY, known, sample(1.0, ready=7000, oldest_age_s=1.0), asked)

    assert same.desired == 10  # 500 by new pods within the 10 s they would have, 750 by these
    assert more.desired > 10


def test_what_is_not_enough_at_the_maximum_says_so() -> None:
    policy = replace(POLICY, max_replicas=4)
    seen = sample(1.0, ready=100_000, oldest_age_s=1.0)

    decision = decided(policy, learned(), seen, Replicas(current=2, ready=2))

    assert (decision.desired, decision.reason) == (4, Reason.MAX_REPLICAS)
    assert decision.message.endswith("maxReplicas is 4 (promise 30s)")


def test_a_falling_stream_halves_the_forecast_at_most() -> None:
    arrivals = Arrivals(rate_per_s=40.0, slope_per_s2=-5.0)

    decision = decided(
        POLICY, learned(arrivals=arrivals), sample(running=40), Replicas(current=5, ready=5)
    )

    assert decision.forecast_rate_per_s == 20.0


def test_an_absurd_number_of_slots_holds_nobody_up() -> None:
    began_s = perf_counter()
    decision, _ = decide(
        Policy(),
        learned(rate_per_s=1.0),
        sample(6, ready=10, slots_per_pod=2**31),
        Replicas(current=2, ready=2),
    )

    assert decision.slots == 10_000
    assert perf_counter() - began_s < 5


def test_between_two_observations_small_steps_out_wait_and_large_ones_do_not() -> None:
    state = learned(rate_per_s=10.0, service_s=10.0)
    there = Replicas(current=10, ready=10)
    few, many = (sample(1.0, ready=jobs, oldest_age_s=9.0, running=100) for jobs in (262, 900))

    at_once = decided(POLICY, state, replace(few, at_s=AT_S), there)
    between = decided(POLICY, state, few, there)
    in_time = decided(POLICY, state, replace(few, at_s=AT_S + 5), there)
    burst = decided(POLICY, state, many, there)

    assert at_once.desired in {11, 12}
    assert (between.desired, between.reason) == (10, Reason.STEADY)
    assert in_time.desired == at_once.desired
    assert burst.desired > 20


@pytest.mark.parametrize(
    ("ages_s", "jobs", "more", "fields"),
    [
        ((10.0, 5.0), 302, 1, {}),
        ((10.0, 5.0), 302, 1, {"evidence": Evidence(ticks=((100.0, 500.0, 60.0),))}),
        ((10.0, 5.0), 302, 0, {"evidence": Evidence(ticks=((100.0, 500.0, 65.0),))}),
        ((10.0, 5.0), 302, 0, {"tight": True}),
        ((10.0, 5.0), 500, 0, {}),
        ((10.0, 9.5), 308, 0, {}),
        ((14.0, 5.0), 302, 0, {}),
        ((), 262, 0, {}),
    ],
)
def test_a_third_step_out_in_a_row_takes_one_pod_more(
    ages_s: tuple[float, ...], jobs: int, more: int, fields: dict[str, Any]
) -> None:
    state = learned(rate_per_s=10.0, service_s=10.0, **fields)
    there = Replicas(current=10 + len(ages_s), ready=10, starting_ages_s=ages_s)
    seen = sample(ready=jobs, oldest_age_s=9.0, running=100)

    plan = weigh(POLICY, state, seen, there).plan
    decision = decided(POLICY, state, seen, there)

    assert plan.enough > there.current
    assert decision.desired == plan.enough + more


def test_the_last_pod_that_is_allowed_is_no_limit_while_it_is_enough() -> None:
    state = learned(rate_per_s=10.0, service_s=10.0)
    there = Replicas(current=12, ready=10, starting_ages_s=(10.0, 5.0))
    seen = sample(ready=302, oldest_age_s=9.0, running=100)
    enough = weigh(POLICY, state, seen, there).plan.enough

    decision = decided(replace(POLICY, max_replicas=enough), state, seen, there)

    assert (decision.desired, decision.reason) == (enough, Reason.BACKLOG)


def test_a_small_step_that_gathers_climbs_only_when_it_is_taken() -> None:
    state = learned(rate_per_s=10.0, service_s=10.0)
    there = Replicas(current=12, ready=10, starting_ages_s=(10.0, 5.0))
    seen = sample(1.0, ready=302, oldest_age_s=9.0, running=100)

    verdict = weigh(POLICY, state, seen, there)

    assert verdict.plan.enough == 13
    assert (verdict.desired, verdict.restrained.climbing) == (12, False)
