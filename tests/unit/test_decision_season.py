"""Minutes of earlier hours: when they are believed, and what they ask for."""

import json
import random
from dataclasses import replace

import pytest
from tests.support.fluid import Scenario, World, stream
from tests.support.samples import AT_S, flow, learned, sample

from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.model import Policy, Replicas
from queueworker_operator.decision.recurrence import Season
from queueworker_operator.decision.season import expected_per_s, learn_season
from queueworker_operator.decision.state import State, from_record, to_record

HOUR_S = 3600.0
BUSY_MINUTE = 20


def learned_season(hours: int, *, rate_per_s: float = 1.0, busy_per_s: float = 10.0) -> Season:
    """Give what hours with one busy minute each leave behind; the last one just ended."""
    season = Season()
    for tick in range(1, hours * 720 + 2):
        at_s = 5.0 * tick
        busy = int((at_s - 2.5) // 60) % 60 == BUSY_MINUTE
        jobs = 5 * (busy_per_s if busy else rate_per_s)
        season = learn_season(season, flow(jobs, announced=7.0), at_s, rate_per_s)
    return season


def test_a_busy_minute_is_expected_after_it_came_in_a_few_hours() -> None:
    season = learned_season(6)
    from_s = 6 * HOUR_S + 60.0 * BUSY_MINUTE

    assert expected_per_s(season, from_s - 20.0, from_s + 1.0) == pytest.approx(10.0)
    assert expected_per_s(season, from_s + 1.0, from_s + 59.0) == pytest.approx(10.0)
    assert expected_per_s(season, from_s + 60.0, from_s + 110.0) == pytest.approx(1.0)


def test_three_hours_and_twenty_forecasts_are_needed() -> None:
    from_s = 60.0 * BUSY_MINUTE

    assert learned_season(3).scores == 0
    assert expected_per_s(learned_season(3), from_s, from_s) == 0.0
    assert expected_per_s(replace(learned_season(6), scores=19), from_s, from_s) == 0.0


def test_a_season_that_is_no_better_than_the_current_rate_is_not_used() -> None:
    steady = learned_season(6, busy_per_s=1.0)

    assert steady.scores > 100
    assert expected_per_s(steady, 0.0, HOUR_S) == 0.0


def test_the_wrong_expectation_costs_more_when_it_is_too_low() -> None:
    season = replace(learned_season(4, busy_per_s=1.0), jobs=0.0, loss=0.0, plain_loss=0.0)
    at_s = 60.0 * ((season.minute or 0) + 1) + 2.5

    low = learn_season(replace(season, jobs=70.0), flow(0.0), at_s, 1.0)
    high = learn_season(replace(season, jobs=50.0), flow(0.0), at_s, 1.0)

    assert (low.loss, high.loss) == pytest.approx((8.0, 2.0))


def test_a_minute_that_was_not_seen_whole_does_not_count() -> None:
    season = learn_season(Season(), flow(30.0), 45.0, 1.0)
    begun = learn_season(season, flow(1.0), 65.0, 1.0)
    after_a_gap = learn_season(begun, flow(900.0, elapsed_s=300.0), 365.0, 1.0)

    assert (season.hours, begun.hours, begun.whole) == ((), (), True)
    assert (after_a_gap.hours, after_a_gap.whole) == ((), False)


def test_only_the_last_eight_hours_are_kept() -> None:
    season = learned_season(12)

    assert {len(row) for row in season.hours} == {8}
    assert len(json.dumps(to_record(learned(season=season)))) < 12_000
    assert from_record(json.loads(json.dumps(to_record(State(season=season))))).season == season


def test_pods_are_asked_for_before_a_busy_minute_when_the_promise_is_tight() -> None:
    policy = Policy(start_within_s=5.0, min_replicas=1, max_replicas=60)
    known = replace(learned_season(6, busy_per_s=20.0), minute=None)
    before_s = HOUR_S * 300 + 60.0 * BUSY_MINUTE - 15.0
    pods = Replicas(current=1, ready=1)

    def desired(season: Season) -> int:
        seen = sample(before_s - AT_S, slots_per_pod=4)
        state = learned(rate_per_s=1.0, tight=True, season=season)
        return decide(policy, state, seen, pods)[0].desired

    assert desired(known) >= 6
    assert desired(Season()) == 1


def test_nothing_is_counted_while_the_queue_itself_is_the_buffer() -> None:
    season = learned_season(1)
    later = [
        observe(policy, learned(season=season), sample(5.0), Replicas(current=1, ready=1)).season
        for policy in (Policy(start_within_s=60.0), Policy(start_within_s=5.0))
    ]

    assert later[0] == Season()
    assert later[1].hours == season.hours


def test_a_clock_that_went_back_begins_anew() -> None:
    state = learned(season=learned_season(1), tight=True)

    after = observe(Policy(start_within_s=5.0), state, sample(-3600.0), Replicas(current=1))

    assert after.season == Season()


def test_rushes_at_the_same_minutes_of_each_hour_are_late_no_more_after_some_hours() -> None:
    rng = random.Random(4)
    hours, minutes = 5, (290.0, 1130.0, 2330.0, 3290.0)  # never at equal distances
    rushes = [HOUR_S * hour + at_s for hour in range(hours) for at_s in minutes]
    arrivals = [
        job
        for from_s in rushes
        for job in stream(
            rng, rate_per_s=4.0, from_s=from_s, to_s=from_s + 60.0, service_s=lambda _: 1.0
        )
    ]
    policy = Policy(start_within_s=5.0, min_replicas=1, max_replicas=60)
    world = World(
        Scenario(policy=policy, arrivals=tuple(arrivals), lasts_s=hours * HOUR_S, slots=2, pods=2)
    )
    state, pods = State(), []
    for second in range(0, int(hours * HOUR_S), 5):
        world.advance(float(second))
        state = observe(policy, state, world.sample(), world.replicas())
        decision, state = decide(policy, state, world.sample(), world.replicas())
        world.follow(decision.desired)
        pods.append(decision.desired)

    waits_s = world.outcome.waits_s
    early = sum(wait_s > 5.0 for wait_s in waits_s[:2000]) / 2000
    late = sum(wait_s > 5.0 for wait_s in waits_s[-1200:]) / 1200
    assert early > 0.2
    assert late < 0.05
    assert sum(pods[-720:]) / 720 < 2.0
