"""The arithmetic of sizing, against slower and plainer ways to compute the same."""

import math
import operator
from functools import partial
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueworker_operator.decision.demand import Announced, Demand
from queueworker_operator.decision.sizing import (
    Capacity,
    DeadlineTest,
    Shortage,
    SteadyLoad,
    erlang_c,
    smallest,
)


def erlang_c_by_recursion(servers: int, load: float) -> float:
    blocked = 1.0
    for busy in range(1, servers + 1):
        blocked = load * blocked / (busy + load * blocked)
    utilisation = load / servers
    return blocked / (1 - utilisation + utilisation * blocked)


@given(st.integers(1, 400), st.floats(0.01, 0.999))
def test_the_chance_to_wait_is_erlangs(servers: int, utilisation: float) -> None:
    load = servers * utilisation

    assert erlang_c(servers, load) == pytest.approx(erlang_c_by_recursion(servers, load), abs=1e-12)


def test_the_chance_to_wait_has_its_textbook_values() -> None:
    assert erlang_c(1, 0.5) == pytest.approx(0.5)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(5, 0.0) == 0.0
    assert erlang_c(5, 5.0) == 1.0


def test_the_smallest_number_that_is_enough_is_found_wherever_it_is() -> None:
    for bound in range(60):
        assert smallest(3, 50, partial(operator.le, bound)) == max(3, min(bound, 50))


def test_a_lower_bound_above_the_upper_stands() -> None:
    assert smallest(9, 4, lambda _: False) == 9


capacities = st.builds(
    lambda starting_s, **fields: Capacity(
        starting_s=tuple(sorted(starting_s)), running=3.0, lead_s=120.0, **fields
    ),
    slots=st.integers(1, 20),
    service_s=st.floats(0.01, 600),
    ready=st.integers(0, 10),
    starting_s=st.lists(st.floats(0, 100), max_size=10),
    long=st.booleans(),
)


@given(capacities, st.integers(0, 30), st.floats(0, 300))
def test_capacity_is_the_sum_over_its_pods(capacity: Capacity, pods: int, time_s: float) -> None:
    begins_s = [0.0] * capacity.ready + [*capacity.starting_s] + [capacity.lead_s] * pods
    begun_s = [begin_s for begin_s in begins_s[:pods] if begin_s <= time_s]
    slots = capacity.slots
    jobs = sum((time_s - begin_s) * slots / capacity.service_s for begin_s in begun_s)
    if capacity.long:
        present = min(pods, capacity.ready)
        jobs += max(present * slots - 3.0, 0.0) + (len(begun_s) - present) * slots
    assert capacity.jobs_by(time_s, pods) == pytest.approx(jobs, rel=1e-6, abs=1e-6)


def test_the_time_for_jobs_is_when_capacity_reaches_them() -> None:
    capacity = Capacity(
        slots=10, service_s=2.0, ready=2, running=0, starting_s=(30.0,), lead_s=60.0
    )

    assert capacity.time_for(100, pods=2) == 10.0
    assert capacity.time_for(450, pods=3) == 40.0
    assert capacity.time_for(1, pods=0) == math.inf


def test_announced_jobs_count_from_the_middle_of_their_bucket() -> None:
    announced = Announced.of((2, 0, 3))

    assert [announced.by(time_s) for time_s in (-1.0, 0.0, 2.4, 2.5, 12.4, 12.5, 900.0)] == [
        0.0,
        0.0,
        0.0,
        2.0,
        2.0,
        5.0,
        5.0,
    ]
    assert Announced().by(900.0) == 0.0


def test_the_backlog_falls_due_as_it_grew_and_the_stream_behind_it() -> None:
    demand = Demand(backlog=100, oldest_age_s=10, rate_per_s=4, deadline_s=20)

    assert [demand.due_by(time_s) for time_s in (5, 10, 15, 20, 25)] == [0, 0, 50, 100, 120]
    assert demand.claimable_by(10) == 140


def deadline_test(capacity: Capacity, demand: Demand) -> DeadlineTest:
    return DeadlineTest(capacity=capacity, demand=demand, first_s=20.0, last_s=80.0)


def test_a_shortage_names_the_deadline_that_the_most_jobs_miss() -> None:
    capacity = Capacity(slots=1, service_s=1.0, ready=1, running=0, starting_s=(), lead_s=15.0)
    demand = Demand(backlog=0, oldest_age_s=0, rate_per_s=2, deadline_s=10)
    test = deadline_test(capacity, demand)

    assert test.worst(1) == Shortage(time_s=80.0, jobs=140.0, missing=60.0)
    assert test.worst(2) is None
    assert (test.passes(1), test.passes(2)) == (False, True)


def test_capacity_before_an_announced_job_is_due_does_not_help_it() -> None:
    capacity = Capacity(slots=1, service_s=1.0, ready=1, running=0, starting_s=(), lead_s=15.0)
    due = Announced.of((0,) * 8 + (20,))
    demand = Demand(backlog=0, oldest_age_s=0, rate_per_s=0, deadline_s=5, announced=due)

    assert smallest(1, 9, deadline_test(capacity, demand).passes) == 4


def test_a_stream_without_work_needs_no_pods_and_one_beyond_all_slots_is_late() -> None:
    quiet = SteadyLoad(rate_per_s=0, service_s=1, slots=10, variability=1)
    heavy = SteadyLoad(rate_per_s=50, service_s=1, slots=10, variability=1)

    assert quiet.pods(load_limit=1.0, tail=0.1, deadline_s=4.0, most=60) == 0
    assert quiet.late_share(0, 4.0) == 0.0
    assert heavy.late_share(5, 4.0) == 1.0
    assert heavy.pods(load_limit=1.0, tail=0.1, deadline_s=4.0, most=60) == 6


@given(st.floats(0, 500), st.floats(0.1, 20), st.integers(1, 20), st.floats(0.1, 20))
def test_the_steady_size_is_the_smallest_that_keeps_the_tail(
    rate_per_s: float, service_s: float, slots: int, variability: float
) -> None:
    load = SteadyLoad(
        rate_per_s=rate_per_s, service_s=service_s, slots=slots, variability=variability
    )

    pods = load.pods(load_limit=1.0, tail=0.05, deadline_s=4.0, most=100_000)

    assert load.late_share(pods, 4.0) <= 0.05
    busy = math.ceil(rate_per_s * service_s / slots - 1e-9)
    assert pods == busy or load.late_share(pods - 1, 4.0) > 0.05


def test_ten_thousand_pods_are_sized_quickly() -> None:
    load = SteadyLoad(rate_per_s=90_000, service_s=1, slots=10, variability=10)
    began_s = perf_counter()

    pods = load.pods(load_limit=1.0, tail=0.01, deadline_s=4.0, most=10_000)

    assert 9000 < pods < 9200
    assert perf_counter() - began_s < 1.0
