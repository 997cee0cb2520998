"""How long jobs take, and how long pods take to start."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.deciding import ONE_POD, observed
from tests.support.samples import AT_S, flow, learned, sample

from queueworker_operator.decision.estimate import Flow, learn_service
from queueworker_operator.decision.model import Sample
from queueworker_operator.decision.regime import BUFFERED, TIGHT
from queueworker_operator.decision.state import StartUp, State


def finished(count: int, service_s: float, from_s: float = 0.0) -> list[Sample]:
    """Give ten ticks in which `count` jobs of `service_s` finish each."""
    return [
        sample(
            from_s + 5.0 * tick,
            finished_total=tick * count,
            busy_slot_seconds_total=tick * count * service_s,
            service_count=tick * count,
            service_sum_s=tick * count * service_s,
            service_sq_sum_s2=tick * count * service_s**2,
        )
        for tick in range(10)
    ]


def test_the_service_time_is_learned_in_a_few_observations() -> None:
    service = observed(State(), finished(10, 8.0)).service

    assert service.estimate_s == pytest.approx(8.0, rel=0.1)
    assert service.variance_s2 == pytest.approx(0.0, abs=1e-6)


def of_mean(service_s: float, jobs: int) -> Flow:
    """Give a tick in which so many jobs ended, of which the controller knows nothing else."""
    return replace(flow(0), finished=float(jobs), busy_s=jobs * service_s)


@pytest.mark.parametrize(("jobs", "least_s", "most_s"), [(10, 1.5, 1.7), (600, 0.5, 0.6)])
def test_that_jobs_became_shorter_takes_many_of_them_to_believe(
    jobs: int, least_s: float, most_s: float
) -> None:
    service = learned(service_s=2.0).service

    assert least_s <= learn_service(service, of_mean(0.5, jobs), BUFFERED).estimate_s <= most_s


def test_that_jobs_became_longer_is_believed_of_a_few() -> None:
    service = learned(service_s=2.0).service

    assert learn_service(service, of_mean(8.0, 10), BUFFERED).estimate_s == pytest.approx(6.0)


@given(jobs=st.integers(0, 10_000), service_s=st.floats(1e-3, 1e3), known_s=st.floats(1e-3, 1e3))
@settings(deadline=None)
def test_to_believe_a_fall_later_never_makes_jobs_shorter(
    jobs: int, service_s: float, known_s: float
) -> None:
    service, seen = learned(service_s=known_s).service, of_mean(service_s, jobs)
    careful, quick = (
        learn_service(service, seen, regime).estimate_s for regime in (BUFFERED, TIGHT)
    )

    assert quick <= careful <= max(quick, known_s) * (1 + 1e-9)


def test_with_a_tight_promise_shorter_jobs_are_believed_of_a_few_too() -> None:
    service = learned(service_s=2.0).service

    assert learn_service(service, of_mean(0.5, 10), TIGHT).estimate_s == pytest.approx(1.0)


def test_a_long_job_is_known_as_long_before_it_ends() -> None:
    running = [sample(5.0 * tick, busy_slot_seconds_total=5.0 * tick) for tick in range(25)]

    assert observed(State(), running, replicas=ONE_POD).service.estimate_s > 60.0


def test_many_jobs_side_by_side_are_not_taken_for_one_endless_job() -> None:
    samples = [sample(), sample(5.0, busy_slot_seconds_total=400 * 4.0, running=400)]

    assert observed(State(), samples).service.estimate_s == pytest.approx(10.0)


def test_a_pause_of_all_work_ends_what_is_known_about_running_jobs() -> None:
    samples = [
        sample(),
        sample(5.0, busy_slot_seconds_total=5.0),
        sample(10.0, busy_slot_seconds_total=5.0),
    ]

    assert observed(State(), samples).service.busy_for_s == 0.0


def test_the_start_up_time_is_the_prior_until_three_pods_were_ready() -> None:
    def after(count: int) -> StartUp:
        started = replace(
            ONE_POD,
            start_up_count=count,
            start_up_sum_s=12.0 * count,
            start_up_sq_sum_s2=144.0 * count,
        )
        return observed(State(), [sample()], started).start_up

    assert after(2).estimate_s == 30.0
    assert after(3).estimate_s == 12.0
    assert after(3).last_ready_at_s == AT_S


def test_slow_and_quick_starts_widen_the_start_up_time() -> None:
    started = replace(ONE_POD, start_up_count=4, start_up_sum_s=40.0, start_up_sq_sum_s2=500.0)

    assert observed(State(), [sample()], started).start_up.estimate_s == 15.0  # 10 + sqrt(125-100)


def test_start_up_counters_of_a_new_operator_start_anew() -> None:
    before = learned(start_up=StartUp(count=5.0, mean_s=10.0, seen_count=5, seen_sum_s=50.0))
    restarted = replace(ONE_POD, start_up_count=2, start_up_sum_s=20.0, start_up_sq_sum_s2=200.0)

    start_up = observed(before, [sample(5.0)], restarted).start_up

    assert (start_up.count, start_up.mean_s) == (7.0, 10.0)
