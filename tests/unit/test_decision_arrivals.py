"""How fast jobs arrive, and which samples teach nothing."""

from dataclasses import replace

import pytest
from tests.support.deciding import ONE_POD, POLICY, observed, ticks
from tests.support.samples import AT_S, learned, sample

from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.estimate import proven_per_s
from queueworker_operator.decision.model import Replicas
from queueworker_operator.decision.state import Arrivals, State


def test_the_first_sample_only_sets_the_base_of_the_counters() -> None:
    state = observed(State(), [sample(enqueued_total=10**6, finished_total=10**6)])

    assert state.arrivals.rate_per_s == 0.0
    assert state.observations == 0


def test_a_steady_stream_is_known_within_half_a_minute() -> None:
    assert observed(State(), ticks([50] * 6)).arrivals.rate_per_s == pytest.approx(10.0)


def test_a_burst_is_not_taken_for_a_stream() -> None:
    after_one = observed(State(), ticks([2000]))
    after_six = observed(State(), ticks([2000, 0, 0, 0, 0, 0]))

    assert after_one.arrivals.rate_per_s < 20.0
    assert after_six.arrivals.rate_per_s < 20.0


def test_a_burst_is_forgotten_after_two_minutes_without_arrivals() -> None:
    assert observed(State(), ticks([2000] + [0] * 24)).arrivals.rate_per_s < 0.04


def test_a_sudden_rise_is_followed_at_once_when_the_promise_is_tight() -> None:
    known = learned(rate_per_s=10.0, tight=True)
    policy = replace(POLICY, start_within_s=5.0)

    state = observed(known, ticks([300] * 6)[1:], policy=policy)

    assert state.arrivals.rate_per_s > 40.0


@pytest.mark.parametrize(
    ("ticks", "least", "most"),
    [
        ((5.0, 5.0, 100.0, 121.0), 18.0, 18.0),
        ((5.0, 5.0, 5.0, 1000.0), 0.0, 1.0),
        ((5.0, 1000.0, 5.0), 0.0, 1.0),
        ((1000.0,), 0.0, 0.0),
        ((), 0.0, 0.0),
    ],
)
def test_two_loud_ticks_prove_a_rate_and_a_lump_does_not(
    ticks: tuple[float, ...], least: float, most: float
) -> None:
    assert least <= proven_per_s(Arrivals(ticks=ticks)) <= most


def test_a_missed_observation_does_not_change_the_rate() -> None:
    samples = ticks([50] * 40)

    assert observed(State(), samples[:20] + samples[31:]).arrivals.rate_per_s == pytest.approx(10)


def test_announced_jobs_are_not_forecast() -> None:
    samples = [replace(seen, announced_total=seen.enqueued_total) for seen in ticks([50] * 30)]

    assert observed(State(), samples).arrivals.rate_per_s == 0.0


def test_a_trend_is_seen_only_when_it_is_more_than_noise() -> None:
    rising = observed(State(), ticks([*[50] * 12, *range(50, 170, 10)])).arrivals
    noisy = observed(State(), ticks([40, 60] * 12)).arrivals

    assert 0.15 < rising.slope_per_s2 < 0.19  # 11 jobs/s more within a minute
    assert noisy.slope_per_s2 == 0.0


def test_irregular_arrivals_are_told_from_regular_ones() -> None:
    regular = observed(State(), ticks([20] * 40)).arrivals
    lumpy = observed(State(), ticks([0, 0, 0, 80] * 10)).arrivals

    assert regular.dispersion == 1.0
    assert lumpy.dispersion > 5.0


def test_a_sample_that_is_not_newer_or_not_usable_changes_nothing() -> None:
    state = observed(State(), ticks([50] * 6))

    for seen in (sample(30.0, enqueued_total=999), sample(20.0), sample(50.0, ready=float("nan"))):
        assert observe(POLICY, state, seen, ONE_POD) == state


def test_a_clock_that_jumped_back_starts_a_new_base_and_keeps_what_was_learned() -> None:
    state = learned(rate_per_s=10.0, stalled_since_s=AT_S, wanted=((AT_S, 9.0),))

    after = observe(POLICY, state, sample(-3600.0, ready=1), ONE_POD)

    assert after.arrivals == state.arrivals
    assert (after.wanted, after.stalled_since_s) == ((), None)
    assert after.idle.active_at_s == AT_S - 3600.0


def test_a_database_that_lost_its_counters_teaches_nothing_and_is_not_scaled_in() -> None:
    state = learned(rate_per_s=10.0, last=sample(enqueued_total=500))

    after = observe(POLICY, state, sample(5.0), ONE_POD)

    assert after.arrivals == state.arrivals
    assert after.last == sample(5.0)
    assert decide(POLICY, after, sample(6.0), Replicas(current=9, ready=9))[0].desired == 9


def test_the_slots_of_the_last_worker_are_remembered() -> None:
    seen = [sample(5.0, slots_per_pod=4), sample(10.0)]

    assert observed(State(), seen).slots == 4
