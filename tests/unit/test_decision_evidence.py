"""What more busy slots brought, from ticks in which all slots were full."""

import math
from dataclasses import replace

import pytest
from tests.support.samples import learned, sample

from queueworker_operator.decision.estimate import Flow
from queueworker_operator.decision.evidence import (
    elasticity,
    is_limited,
    learn_evidence,
    newest,
    total,
)
from queueworker_operator.decision.model import Replicas
from queueworker_operator.decision.state import Evidence, Service, Tally

EVEN = Service(finished=1000.0, mean_s=2.0, variance_s2=4.0)
RAMP = (8, 8, 8, 8, 8, 8, 12, 16, 24, 32, 40, 40, 40, 40, 40)


def flow(finished: float = 20.0, busy_s: float = 40.0, elapsed_s: float = 5.0) -> Flow:
    return Flow(
        elapsed_s=elapsed_s,
        claimable=0.0,
        announced=0.0,
        finished=finished,
        busy_s=busy_s,
        service_count=finished,
        service_sum_s=busy_s,
        service_sq_sum_s2=0.0,
        started=0.0,
        late=0.0,
    )


def rise(power: float) -> Evidence:
    """Give what is seen when jobs finish in proportion to a power of the busy slots."""
    return Evidence(ticks=tuple((25 * busy**power, 5.0 * busy, 5.0) for busy in RAMP))


@pytest.mark.parametrize("power", [-0.5, 0.0, 0.5, 1.0])
def test_the_power_that_jobs_finish_with_is_found(power: float) -> None:
    found = elasticity(rise(power), 0.01)

    assert found is not None
    assert found.value == pytest.approx(power, abs=0.02)
    assert found.lowest == pytest.approx(8.0)
    assert found.highest == pytest.approx(40.0)


def test_uneven_jobs_make_it_less_sure() -> None:
    even, uneven = rise(1.0), replace(rise(1.0), dispersion=9.0)
    sure, unsure = elasticity(even, 0.01), elasticity(uneven, 0.01)

    assert sure is not None
    assert unsure is not None
    assert unsure.error == pytest.approx(3 * sure.error)


def test_only_the_last_rise_is_looked_at() -> None:
    earlier = ((1000.0, 50.0, 5.0),) * 20

    assert elasticity(Evidence(ticks=earlier + rise(1.0).ticks), 0.01) == elasticity(
        rise(1.0), 0.01
    )


def test_a_long_time_without_a_rise_is_looked_at_for_three_minutes_only() -> None:
    found = elasticity(Evidence(ticks=((10.0, 100.0, 5.0),) * 100), 1.0)

    assert found is not None
    assert found.finished == 36 * 10.0


@pytest.mark.parametrize("ticks", [(), ((10.0, 50.0, 5.0),) * 3, ((0.0, 50.0, 5.0),) * 9])
def test_little_shows_nothing(ticks: tuple[tuple[float, float, float], ...]) -> None:
    assert elasticity(Evidence(ticks=ticks), 1.0) is None


def test_ticks_count_in_a_row_while_all_slots_are_full() -> None:
    twice = Evidence()
    for _ in range(2):
        twice = learn_evidence(twice, flow(), EVEN, limited=True)

    assert len(twice.ticks) == 2
    assert learn_evidence(twice, flow(), EVEN, limited=False).ticks == ()
    assert learn_evidence(twice, flow(elapsed_s=60.0), EVEN, limited=True).ticks == ()


def test_the_series_stays_short_and_loses_nothing_of_the_last_hour() -> None:
    evidence = Evidence()
    for tick in range(2000):
        evidence = learn_evidence(evidence, flow(), EVEN, limited=True)
        summed = total(evidence.series)

        assert len(evidence.ticks) <= 120
        assert summed.finished == 4 * summed.seconds
        assert min((tick + 1) * 5.0, 3600.0) <= summed.seconds <= 3 * 3600.0
    assert evidence.ticks[-1] == (20.0, 40.0, 5.0)


@pytest.mark.parametrize(
    ("running", "replicas", "limited"),
    [
        (40.0, Replicas(current=4, ready=4), True),
        (38.0, Replicas(current=4, ready=4), True),
        (37.0, Replicas(current=4, ready=4), False),
        (30.0, Replicas(current=4, ready=4, draining=1), True),
        (0.0, Replicas(current=4), False),
        (40.0, Replicas(current=4, ready=4, rollout=True), False),
    ],
)
def test_slots_limit_when_those_of_all_open_pods_are_busy(
    running: float, replicas: Replicas, limited: bool
) -> None:
    assert is_limited(sample(running=running), replicas, 10) == limited


def test_the_fastest_service_is_kept_for_about_an_hour() -> None:
    evidence = Evidence()
    for _ in range(4):
        evidence = learn_evidence(evidence, flow(busy_s=30.0), EVEN, limited=False)
    assert evidence.fastest_s == pytest.approx(1.5)

    for _ in range(60):
        evidence = learn_evidence(evidence, flow(busy_s=60.0), EVEN, limited=True)

    assert evidence.fastest_s == pytest.approx(1.5 * math.exp(300 / 3600), rel=0.01)


@pytest.mark.parametrize(
    ("service", "dispersion"),
    [
        (Service(), 1.0),
        (replace(EVEN, variance_s2=0.0), 1.0),
        (replace(EVEN, variance_s2=8.0), 2.0),
        (replace(EVEN, variance_s2=16.0), 6.0),
        (replace(EVEN, variance_s2=4000.0), 45.0),
    ],
)
def test_uneven_jobs_are_counted_as_noise(service: Service, dispersion: float) -> None:
    evidence = learn_evidence(Evidence(), flow(), service, limited=False)

    assert evidence.dispersion == pytest.approx(dispersion)


def test_the_newest_ticks_are_added_up_until_they_are_long_enough_and_finished_enough() -> None:
    ticks = tuple(Tally(finished=float(jobs), seconds=5.0) for jobs in (9, 9, 1, 2))

    assert newest(ticks, seconds=6.0, finished=2).finished == 3.0
    assert newest(ticks, seconds=0.0, finished=4).finished == 12.0
    assert newest(ticks, seconds=60.0, finished=0).seconds == 20.0


def test_an_empty_tally_has_no_rates() -> None:
    assert (Tally().busy, Tally().rate_per_s, Tally().service_s) == (0.0, 0.0, 0.0)
    assert learned().evidence == Evidence()


def test_the_fastest_time_is_forgotten_in_a_long_gap_however_long() -> None:
    known = Evidence(fastest_s=2.0)
    hour = learn_evidence(known, flow(finished=1.0, elapsed_s=3600.0), EVEN, limited=False)
    months = learn_evidence(known, flow(finished=1.0, elapsed_s=1e7), EVEN, limited=False)

    assert hour.fastest_s == pytest.approx(2.0 * math.e)
    assert months.fastest_s == 0.0
