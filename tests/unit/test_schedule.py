"""Floors at times of the day: when they hold, when they begin, and how they are read."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.samples import learned, sample

from queueworker_operator.controller.record import Verdict, replay, to_json
from queueworker_operator.decision.decide import decide
from queueworker_operator.decision.model import (
    Floor,
    Policy,
    Replicas,
    Window,
)
from queueworker_operator.errors import InvalidResource
from queueworker_operator.resource import in_force, parse

BERLIN = ZoneInfo("Europe/Berlin")
WEEKDAYS = Window(
    cron="0 8 * * 1-5", timezone="Europe/Berlin", min_replicas=5, duration_s=10 * 3600
)
KNOWN = 15.0  # a start-up that is shorter than that of unknown pods


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def floor_at(now_s: float, *windows: Window, start_up_s: float = KNOWN) -> Floor | None:
    return in_force(Policy(max_replicas=60, schedule=windows), now_s, start_up_s).floor


def body(*windows: object, **spec: Any) -> dict[str, Any]:
    whole = {
        "scaleTargetRef": {"name": "mail-worker"},
        "queues": ["mail"],
        "database": {"secretRef": {"name": "mail-db"}},
        "schedule": list(windows),
    }
    return {"metadata": {"namespace": "shop", "name": "mail"}, "spec": whole | spec}


def window(**fields: Any) -> dict[str, Any]:
    return {"cron": "0 8 * * 1-5", "minReplicas": 5, "duration": "10h"} | fields


@pytest.mark.parametrize(
    ("moment", "held"),
    [
        ("2026-03-02 07:59:24", False),  # a Monday; 36 s before: 35 s are needed
        ("2026-03-02 07:59:25", True),
        ("2026-03-02 12:00:00", True),
        ("2026-03-02 17:59:59", True),
        ("2026-03-02 18:00:00", False),
        ("2026-03-01 12:00:00", False),  # a Sunday
    ],
)
def test_a_window_holds_from_a_start_up_before_it_begins_to_its_end(
    moment: str, *, held: bool
) -> None:
    floor = floor_at(at(moment), WEEKDAYS)

    assert (floor is not None) == held
    assert floor is None or floor.replicas == 5


def test_slow_pods_are_started_as_much_earlier() -> None:
    assert floor_at(at("2026-03-02 07:57:56"), WEEKDAYS, start_up_s=120.0) is not None
    assert floor_at(at("2026-03-02 07:57:54"), WEEKDAYS, start_up_s=120.0) is None


def test_the_largest_of_overlapping_windows_holds() -> None:
    night = replace(WEEKDAYS, cron="0 0 * * *", min_replicas=2, duration_s=24 * 3600)
    noon = replace(WEEKDAYS, cron="0 12 * * *", min_replicas=9, duration_s=3600)

    held = [
        floor_at(at(f"2026-03-02 {hour}:30"), night, WEEKDAYS, noon) for hour in ("05", "10", "12")
    ]

    assert [floor.replicas for floor in held if floor] == [2, 5, 9]


def test_a_window_may_reach_into_the_next_day_and_its_end_is_told_with_the_date() -> None:
    night = replace(WEEKDAYS, cron="0 22 * * *", duration_s=8 * 3600)

    evening = floor_at(at("2026-03-02 23:00"), night)
    morning = floor_at(at("2026-03-03 05:00"), night)

    assert evening is not None
    assert evening.why == "schedule '0 22 * * *' until 2026-03-03 06:00 Europe/Berlin"
    assert morning is not None
    assert morning.why == "schedule '0 22 * * *' until 06:00 Europe/Berlin"


def test_before_its_time_a_window_tells_from_when_to_when() -> None:
    floor = floor_at(at("2026-03-02 07:59:30"), WEEKDAYS)

    assert floor is not None
    assert floor.told == (
        "held at 5 by the schedule '0 8 * * 1-5' from 08:00 to 18:00 Europe/Berlin"
    )


def test_a_start_in_the_hour_that_is_skipped_begins_right_after_it() -> None:
    early = replace(WEEKDAYS, cron="30 2 * * *", duration_s=1800)

    assert floor_at(at("2026-03-29 01:59:20"), early) is None
    assert floor_at(at("2026-03-29 03:10"), early) is not None
    assert floor_at(at("2026-03-29 03:30"), early) is None


def test_a_start_in_the_hour_that_comes_twice_begins_once() -> None:
    early = replace(WEEKDAYS, cron="30 2 * * *", duration_s=1800)

    assert floor_at(at("2026-10-25 02:45"), early) is not None
    assert floor_at(at("2026-10-25 02:15", fold=1), early) is None
    assert floor_at(at("2026-10-25 02:45", fold=1), early) is None


def test_a_window_over_a_change_of_time_lasts_as_long_as_it_says() -> None:
    night = replace(WEEKDAYS, cron="0 22 * * *", duration_s=8 * 3600)

    assert floor_at(at("2026-03-29 06:59"), night) is not None
    assert floor_at(at("2026-03-29 07:00"), night) is None
    assert floor_at(at("2026-10-25 04:59"), night) is not None
    assert floor_at(at("2026-10-25 05:00"), night) is None


CHANGES = [at("2026-03-29 03:00"), at("2026-10-25 02:00", fold=1)]
CRONS = ["30 2 * * *", "0 3 * * *", "15 2,3 * * *", "*/20 2 * * *", "30 * * * *", "0 */2 * * *"]


@settings(max_examples=300, deadline=None)
@given(
    change_s=st.sampled_from(CHANGES),
    offset_min=st.integers(-400, 400),
    cron=st.sampled_from(CRONS),
    length_min=st.integers(1, 600),
)
def test_around_a_change_of_time_a_floor_holds_just_when_cron_had_begun_it(
    change_s: float, offset_min: int, cron: str, length_min: int
) -> None:
    now_s = change_s + 60 * offset_min
    early = replace(WEEKDAYS, cron=cron, duration_s=60.0 * length_min)
    starts = CronSim(cron, datetime.fromtimestamp(now_s - 3 * 86_400, BERLIN))
    begun: list[float] = []
    for start in starts:
        if start.timestamp() > now_s + 35:
            break
        begun.append(start.timestamp())

    held = any(now_s < start_s + 60 * length_min for start_s in begun)

    assert (floor_at(now_s, early) is not None) == held


def test_the_schedule_is_read_from_the_manifest() -> None:
    policy = parse(body(window(timezone="Europe/Berlin"), window(cron="0  22 * * SUN"))).policy

    assert policy.schedule == (
        WEEKDAYS,
        replace(WEEKDAYS, cron="0 22 * * SUN", timezone="UTC"),
    )
    assert policy.floor is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (window(cron="8"), "spec.schedule[1].cron '8' must have five fields: minute, hour"),
        (window(cron="0 0 8 * * 1"), "must have five fields"),
        (window(cron="0 8 * * " + "1," * 40 + "1"), "must have five fields"),
        (window(cron="0 17-8 * * *"), "cron '0 17-8 * * *' has a bad hour: write minute, hour"),
        (window(cron="0 8 31 2 *"), "has a bad day-of-month"),
        (window(cron=8), "spec.schedule[1].cron must be a text"),
        (window(timezone="Mars/Base"), "spec.schedule[1].timezone 'Mars/Base' is not a time zone"),
        (window(timezone="../../etc/passwd"), "is not a time zone: write a name such as Europe"),
        (window(timezone="M" * 5000), "is not a time zone"),
        (window(duration="long"), "'long' is not a duration: write 30s"),
        (window(duration="169h"), "spec.schedule[1].duration must lie between 1s and 168h"),
        ({"cron": "0 8 * * *", "minReplicas": 1}, "spec.schedule[1].duration must be a text"),
        ({"cron": "0 8 * * *", "duration": "1h"}, "spec.schedule[1].minReplicas is missing"),
        (window(minReplicas=0), "spec.schedule[1].minReplicas must be a whole number from 1"),
        (window(minReplicas=11), "spec.schedule[1].minReplicas 11 is more than spec.maxReplicas"),
        ("0 8 * * *", "spec.schedule[1] must be an object"),
    ],
)
def test_a_window_that_cannot_be_kept_is_refused_with_the_remedy(
    wrong: object, message: str
) -> None:
    with pytest.raises(InvalidResource) as refused:
        parse(body(window(), wrong))

    assert message in str(refused.value)


def test_too_many_windows_are_refused() -> None:
    for wrong in ([window()] * 17, {"cron": "0 8 * * *"}):
        with pytest.raises(InvalidResource) as refused:
            parse(body(schedule=wrong))

        assert "spec.schedule must be a list of at most 16 windows" in str(refused.value)


def test_a_recorded_decision_replays_with_the_floor_of_its_time() -> None:
    policy = in_force(Policy(max_replicas=60, schedule=(WEEKDAYS,)), at("2026-03-02 12:00"), KNOWN)
    state, seen, replicas = learned(), sample(), Replicas(current=0)
    decision, _ = decide(policy, state, seen, replicas)
    verdict = Verdict(policy=policy, state=state, sample=seen, replicas=replicas, decision=decision)

    assert decision.desired == 5
    assert replay(to_json(verdict, 5)) == decision
