"""The simulated world obeys the laws of queues, and what it is told about pods."""

import random
from array import array
from dataclasses import replace

import pytest
from tests.support.simulated import Fixed, poisson, workload

from queueworker_operator.decision.model import Policy
from queueworker_operator.decision.sizing import erlang_c
from queueworker_operator.simulate.dbc import Dbc
from queueworker_operator.simulate.model import (
    Conditions,
    Curve,
    Lognormal,
    StartFault,
    StuckJobs,
    Window,
    Workload,
)
from queueworker_operator.simulate.reading import Reader
from queueworker_operator.simulate.run import simulate
from queueworker_operator.simulate.world import World


def exponential(rate_per_s: float, lasts_s: float, *, mean_s: float, seed: int) -> Workload:
    rng = random.Random(seed)
    jobs, at_s = [], 0.0
    while (at_s := at_s + rng.expovariate(rate_per_s)) < lasts_s:
        jobs.append((at_s, rng.expovariate(1 / mean_s)))
    return workload(jobs, lasts_s)


@pytest.mark.parametrize(("slots", "load"), [(4, 3.2), (40, 35.0)])
def test_waits_of_a_fixed_fleet_are_those_of_erlang_c(slots: int, load: float) -> None:
    mean_s, waits_s = 2.0, array("d")
    for seed in range(100, 112):
        jobs = exponential(load / mean_s, 100_000.0 / load, mean_s=mean_s, seed=seed)
        world = World(jobs, Conditions(slots=slots, pods=1))
        world.advance(jobs.lasts_s)
        waits_s.extend(world.waits_s)

    chance = erlang_c(slots, load)
    waited = sum(wait_s > 0 for wait_s in waits_s) / len(waits_s)
    mean_wait_s = sum(waits_s) / len(waits_s)
    assert waited == pytest.approx(chance, rel=0.02)
    assert mean_wait_s == pytest.approx(chance * mean_s / (slots - load), rel=0.03)


def test_the_seed_fixes_every_outcome() -> None:
    jobs = poisson(3.0, 600.0)
    policy = Policy(max_replicas=20)

    one, same, other = (
        simulate(jobs, Conditions(seed=seed), Dbc(policy=policy)) for seed in (1, 1, 2)
    )

    assert one == same
    assert one.figures != other.figures


def test_no_job_is_lost_and_every_second_at_work_is_counted() -> None:
    jobs = poisson(3.0, 600.0)
    quiet_after = replace(jobs, lasts_s=1200.0)

    outcome = simulate(quiet_after, Conditions(), Fixed((0, 4), (100, 1), (200, 6)))
    world = World(jobs, Conditions(pods=6))
    world.advance(1200.0)

    assert outcome.jobs == len(jobs.at_s) == world.finished
    assert world.busy_s == pytest.approx(jobs.work_s)
    assert world.service_sum_s == pytest.approx(jobs.work_s)
    assert outcome.figures.interrupted_jobs == 0


def test_jobs_start_first_come_first_served_within_a_priority() -> None:
    jobs = workload([(float(second), 10.0) for second in range(4)], 60.0)
    ranked = replace(jobs, priority=bytes([0, 0, 5, 0]))
    world = World(ranked, Conditions(slots=1, pods=1))

    world.advance(60.0)

    # Started in the order 0, 2, 1, 3: job 2 is urgent, all others wait their turn.
    assert list(world.waits_s) == [0.0, 8.0, 19.0, 27.0]


def test_beyond_the_knee_more_slots_finish_no_more() -> None:
    burst = workload([(0.0, 10.0)] * 100, 1000.0)

    def done_by(at_s: float, pods: int, curve: Curve | None) -> int:
        world = World(burst, Conditions(slots=10, pods=pods, curve=curve))
        world.advance(at_s)
        return world.finished

    knee = Curve(knee=20.0)
    assert done_by(10.1, 10, None) == 100
    assert done_by(49.9, 10, knee) == 0  # 100 at once, each at a fifth of the speed
    assert done_by(50.1, 10, knee) == 100
    assert done_by(50.1, 2, knee) == 100
    assert done_by(100.0, 10, replace(knee, decline=1.0)) < done_by(100.0, 2, knee)


def test_a_bottleneck_that_ends_lets_running_jobs_go_on_at_full_speed() -> None:
    burst = workload([(0.0, 10.0)] * 20, 100.0)
    curve = Curve(knee=10.0, window=Window(from_s=0.0, until_s=10.0))
    world = World(burst, Conditions(slots=20, pods=1, curve=curve))

    world.advance(14.9)
    before = world.finished
    world.advance(15.1)

    assert (before, world.finished) == (0, 20)  # half of the work in 10 s, the rest in 5 s


def test_a_drained_pod_finishes_its_jobs_and_one_ended_too_early_gives_them_back() -> None:
    short, long = (workload([(0.0, size_s)] * 8, 300.0) for size_s in (60.0, 100.0))
    conditions = Conditions(pods=2, grace_s=30.0)

    drained = simulate(short, conditions, Fixed((0, 2), (50, 0)))
    ended = simulate(long, conditions, Fixed((0, 2), (50, 1), drains=False))

    assert (drained.figures.interrupted_jobs, ended.figures.interrupted_jobs) == (0, 4)
    assert drained.figures.pod_hours == pytest.approx(2 * 61 / 3600, rel=0.02)
    assert ended.figures.pod_hours == pytest.approx((300 + 80) / 3600, rel=0.01)


def test_a_pod_whose_jobs_outlast_the_patience_is_kept() -> None:
    jobs = workload([(0.0, 200.0)] * 8, 250.0)

    outcome = simulate(jobs, Conditions(pods=2, grace_s=30.0), Fixed((0, 2), (50, 0)))

    assert outcome.figures.interrupted_jobs == 0
    assert outcome.figures.pod_hours > 2 * 200 / 3600


def test_pods_that_cannot_start_wait_until_the_fault_is_over() -> None:
    jobs = workload([(0.0, 1.0)] * 4, 300.0)
    fault = StartFault(window=Window(from_s=0.0, until_s=100.0))
    start_up = Lognormal(mean_s=5.0, cv=0.0)

    faulty = Conditions(start_up=start_up, start_faults=(fault,))
    late = simulate(jobs, faulty, Fixed((0, 3)))
    roomy = replace(faulty, start_faults=(replace(fault, room=1),))
    some = simulate(jobs, roomy, Fixed((0, 3)))

    assert late.figures.wait_p50_s == pytest.approx(105.0)
    assert some.figures.wait_p50_s == pytest.approx(5.0)


def test_what_is_read_is_what_the_queue_would_report() -> None:
    announced = Workload(
        at_s=array("d", [1.0, 2.0, 30.0, 31.0, 99.0]),
        size_s=array("d", [10.0] * 5),
        lasts_s=400.0,
        announced=bytes([0, 0, 1, 1, 1]),
    )
    gap = Window(from_s=50.0, until_s=60.0)
    conditions = Conditions(
        slots=1, pods=1, stuck=(StuckJobs(at_s=5.0, jobs=7),), telemetry_gaps=(gap,)
    )
    world = World(announced, conditions)
    reader = Reader(world, announced, conditions)

    world.advance(20.0)
    sample, replicas = reader.sample, reader.replicas
    world.advance(55.0)
    in_the_gap = reader.sample

    assert sample is not None
    assert in_the_gap is None
    assert (sample.ready, sample.running, sample.finished_total) == (7, 1, 1)
    assert sample.oldest_age_s == 15.0
    assert (sample.enqueued_total, sample.announced_total) == (9, 0)
    assert sample.busy_slot_seconds_total == pytest.approx(19.0)
    assert (sum(sample.due_5s), sample.due_5s[2], sample.due_5s[15]) == (3, 2, 1)
    assert (replicas.current, replicas.ready, sample.slots_per_pod) == (1, 1, 1)
