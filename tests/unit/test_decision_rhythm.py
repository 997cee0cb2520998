"""Bursts by the clock: when a rhythm is believed, what it expects, and that it ends."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.support.samples import AT_S, flow, learned, sample

from queueworker_operator.decision.decide import decide, observe, weigh
from queueworker_operator.decision.model import Policy, Replicas
from queueworker_operator.decision.recurrence import Returns, Rhythm
from queueworker_operator.decision.regime import RHYTHM_HOLD_SHARE, TIGHT
from queueworker_operator.decision.restraint import hold_s
from queueworker_operator.decision.rhythm import (
    Burst,
    expected_5s,
    learn_rhythm,
    next_burst,
    surprises,
)
from queueworker_operator.decision.working import work_out

USUAL = (10.0,) * 60
POLICY = Policy(start_within_s=5.0, min_replicas=1, max_replicas=60, default_slots=4)


def after(bursts_s: Sequence[float], shape: Sequence[float] = (200.0, 100.0)) -> Rhythm:
    """Give what bursts at these seconds leave behind, each on top of 10 jobs a tick."""
    rhythm = Rhythm()
    jobs = {at_s + 5 * index: more for at_s in bursts_s for index, more in enumerate(shape)}
    for tick in range(int(bursts_s[-1] // 5) + 20):
        at_s = 5.0 * tick
        rhythm = learn_rhythm(rhythm, flow(10.0 + jobs.get(at_s, 0.0)), at_s, USUAL)
    return rhythm


def test_three_bursts_at_two_equal_distances_are_a_rhythm() -> None:
    assert next_burst(after((100, 400)), 800.0) is None
    assert next_burst(after((100, 400, 700)), 800.0) == Burst(
        earliest_s=995.0, latest_s=1000.0, jobs=(200.0, 100.0)
    )
    assert next_burst(after((100, 400, 710)), 800.0) == Burst(
        earliest_s=1005.0, latest_s=1020.0, jobs=(200.0, 100.0)
    )


@pytest.mark.parametrize("bursts_s", [(100, 400, 730), (100, 190, 280), (100, 8100, 16100)])
def test_uneven_short_and_very_long_distances_are_none(bursts_s: tuple[float, ...]) -> None:
    assert next_burst(after(bursts_s), bursts_s[-1] + 50.0) is None


def test_one_that_does_not_come_ends_the_rhythm_until_three_more_have_come() -> None:
    rhythm = after((100, 400, 700))

    assert sum(expected_5s(rhythm, 1004.0, 0.0)) == 300
    assert expected_5s(rhythm, 1006.0, 0.0) == ()
    assert next_burst(rhythm, 1006.0) is None
    assert next_burst(after((100, 400, 700, 1300, 1600)), 1700.0) is None
    assert next_burst(after((100, 400, 700, 1300, 1600, 1900)), 2000.0)


def test_jobs_are_expected_from_the_earliest_second_on_less_those_that_came() -> None:
    rhythm = after((100, 400, 700))

    assert expected_5s(rhythm, 980.0, 0.0) == (0, 0, 0, 200, 100)
    assert expected_5s(rhythm, 999.0, 0.0) == (200, 100)
    assert expected_5s(rhythm, 999.0, 230.0) == (0, 70)
    assert expected_5s(after((100, 1100, 2100)), 2400.0, 0.0) == ()  # beyond five minutes


def test_the_rest_of_a_burst_that_has_begun_is_expected() -> None:
    rhythm = replace(after((100, 400, 700)), shapes=((90, 60, 30), (90, 60, 30), (90, 60, 30)))

    assert expected_5s(rhythm, 700.0, 0.0)[:3] == (60, 30, 0)
    assert expected_5s(rhythm, 704.0, 20.0)[:3] == (40, 30, 0)


def test_a_pause_within_a_burst_belongs_to_its_shape_and_a_minute_is_the_most() -> None:
    gapped = after((100, 400, 700), shape=(200.0, 0.0, 0.0, 100.0))
    long = after((100, 400, 700), shape=(100.0,) * 15)

    assert gapped.shapes == ((200.0, 0.0, 0.0, 100.0),) * 3
    assert long.shapes == ((100.0,) * 12,) * 3
    assert len(long.began_s) == 3


def test_chance_and_announced_jobs_are_no_bursts() -> None:
    assert learn_rhythm(Rhythm(), flow(40.0), 5.0, USUAL) == Rhythm()
    assert learn_rhythm(Rhythm(), flow(10.0, announced=500.0), 5.0, USUAL) == Rhythm()
    assert learn_rhythm(Rhythm(), flow(9.0), 5.0, ()) == Rhythm()


def test_jobs_of_an_expected_burst_are_no_surprise_to_the_forecast() -> None:
    before, jobs = after((100, 400, 700)), flow(210.0)
    in_time = learn_rhythm(before, jobs, 1000.0, USUAL)
    goes_on = learn_rhythm(in_time, jobs, 1005.0, USUAL)
    early = learn_rhythm(before, jobs, 900.0, USUAL)

    assert surprises(jobs, before, in_time, USUAL).announced == 200.0
    assert surprises(jobs, in_time, goes_on, USUAL).announced == 200.0
    assert surprises(jobs, before, early, USUAL) == jobs
    assert surprises(jobs, before, before, USUAL) == jobs
    first = learn_rhythm(Rhythm(), jobs, 5.0, USUAL)
    assert surprises(jobs, first, learn_rhythm(first, jobs, 10.0, USUAL), USUAL) == jobs


@pytest.mark.parametrize(
    ("shape", "expected"), [((200.0, 100.0), [200.0, 200.0, 0.0]), ((200.0,) * 40, [0.0] * 3)]
)
def test_jobs_beyond_an_expected_burst_or_of_a_level_that_stays_are_a_surprise(
    shape: tuple[float, ...], expected: list[float]
) -> None:
    jobs, told = flow(210.0), []
    before = after((100, 400, 700), shape)

    for at_s in (1000.0, 1005.0, 1010.0):
        now = learn_rhythm(before, jobs, at_s, USUAL)
        told.append(surprises(jobs, before, now, USUAL).announced)
        before = now

    assert told == expected


def rhythmic(*, next_in_s: float) -> Rhythm:
    """Give bursts of 150 jobs each five minutes, the next one in `next_in_s`."""
    last_s = AT_S + next_in_s - 295.0
    return Rhythm(
        began_s=(last_s - 600.0, last_s - 300.0, last_s), shapes=((150.0,),) * 3, last_s=last_s
    )


def test_pods_are_there_before_a_burst_and_not_much_earlier() -> None:
    def pods(next_in_s: float) -> int:
        state = learned(rate_per_s=0.5, tight=True, rhythm=rhythmic(next_in_s=next_in_s))
        decision, _ = decide(POLICY, state, sample(running=1), Replicas(current=1, ready=1))
        return decision.desired

    assert pods(90.0) == 1
    assert 6 <= pods(25.0) <= 12


def test_a_decision_says_that_a_burst_is_expected() -> None:
    state = learned(rate_per_s=0.5, tight=True, rhythm=rhythmic(next_in_s=25.0))
    pods = Replicas(current=5, ready=5)
    verdict = weigh(POLICY, state, sample(running=1), pods)
    decision, _ = decide(POLICY, state, sample(running=1), pods)

    assert "expected jobs would start too late" in decision.message
    assert dict(work_out(verdict).inputs)["rhythm"].endswith("the next in 25s: counted above")
    assert hold_s(verdict.outlook) == RHYTHM_HOLD_SHARE * TIGHT.hold_s


def test_a_clock_that_jumps_back_ends_the_rhythm_and_what_returned() -> None:
    state = learned(rhythm=rhythmic(next_in_s=25.0), returns=Returns(weights=(1.0,) * 13))

    found = observe(POLICY, state, sample(-3600.0), Replicas(current=1))

    assert (found.rhythm, found.returns) == (Rhythm(), Returns())
