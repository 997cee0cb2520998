"""How many jobs a worker claims, from which queue, and where its scans start."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueworker.claim import Pace, Source, choose, share
from queueworker.hints import LaneHints
from queueworker.job import ClaimedJob
from queueworker.link import MOST_DELAY_S, backoff_s
from queueworker.store import LaneRow, QueueRow, SweptLane
from queueworker.waits import wait_bucket
from queueworker.worker.waiting import MOST_AHEAD, ahead_of, room_for

PACE = Pace(poll_s=1.0)


def source(name: str, weight: int = 1) -> Source:
    return Source(QueueRow(id=1, name=name, part="job_default", paused=False), weight, PACE)


def claimed(pos: int, lane: int = 1) -> ClaimedJob:
    return ClaimedJob(
        token=1,
        id=pos,
        lane=lane,
        pos=pos,
        attempt=1,
        max_attempts=5,
        crash_count=0,
        timeout_s=None,
        run_at_wait_s=0.0,
        args="{}",
    )


def lanes(*floors: int) -> list[LaneRow]:
    return [LaneRow(id=n, task="a", priority=0, floor=f) for n, f in enumerate(floors, start=1)]


def test_long_jobs_are_never_held_beyond_the_slots() -> None:
    assert ahead_of(slots=10, service_s=2.0) == 0
    assert ahead_of(slots=10, service_s=None) == 0
    assert room_for(slots=10, busy=10, held=0, ahead=0) == 0
    assert room_for(slots=10, busy=7, held=0, ahead=0) == 3


def test_short_jobs_are_fetched_ahead_but_not_one_by_one() -> None:
    ahead = ahead_of(slots=10, service_s=0.01)

    assert ahead == 100
    assert room_for(slots=10, busy=10, held=80, ahead=ahead) == 0
    assert room_for(slots=10, busy=10, held=50, ahead=ahead) == 50


@given(
    slots=st.integers(1, 1000),
    busy=st.integers(0, 1000),
    held=st.integers(0, 1000),
    service_s=st.one_of(st.none(), st.floats(0, 1e6)),
)
def test_no_claim_ever_exceeds_slots_and_the_head_start(
    slots: int, busy: int, held: int, service_s: float | None
) -> None:
    ahead = ahead_of(slots, service_s)
    room = room_for(slots, busy, held, ahead)

    assert 0 <= ahead <= MOST_AHEAD
    assert room == 0 or busy + held + room <= slots + ahead


def test_weights_share_the_claims() -> None:
    sources = [source("mail", 3), source("reports", 1)]
    claimed = Counter[str]()
    for _ in range(400):
        chosen = choose(sources, now_s=0.0)
        assert chosen is not None
        count = share(8, chosen, sources, now_s=0.0)
        chosen.found(count)
        claimed[chosen.queue.name] += count

    assert claimed["mail"] / claimed["reports"] == pytest.approx(3, rel=0.05)


def test_a_queue_that_slept_does_not_catch_up() -> None:
    sources = [source("mail"), source("reports")]
    sources[0].due_s = 10.0
    for _ in range(100):
        sources[1].found(1)
        choose(sources, now_s=0.0)
    first = [choose(sources, now_s=20.0) for _ in range(1)]

    assert sources[0].turn == sources[1].turn
    assert first[0] in sources


def test_a_wake_up_during_a_claim_is_not_slept_over() -> None:
    woken, quiet = source("mail"), source("reports")
    woken.wake(now_s=5.0)
    for each in (woken, quiet):
        each.found_nothing(now_s=5.0, is_listening=True)

    assert woken.due_s == 5.0
    assert quiet.due_s > 5.5


def test_a_queue_that_sleeps_leaves_its_share_to_the_others() -> None:
    sources = [source("mail", 3), source("reports", 1)]
    sources[0].due_s = 10.0

    assert choose(sources, now_s=0.0) is sources[1]
    assert share(8, sources[1], sources, now_s=0.0) == 8
    assert share(8, sources[0], sources, now_s=20.0) == 6
    assert choose([], now_s=0.0) is None


def test_polling_slows_down_while_nothing_is_found_and_rests_on_notifications() -> None:
    polls = [PACE.delay_s(n, 0.5, is_listening=False) for n in range(10)]

    assert polls == sorted(polls)
    assert polls[0] < 0.1
    assert polls[-1] == 1.0
    assert PACE.delay_s(0, 0.5, is_listening=True) == 1.0


def test_scans_start_where_the_last_claim_ended_and_go_down_when_it_was_empty() -> None:
    hints = LaneHints()
    hints.learn(lanes(100))
    hints.claimed([claimed(150)], began_s=0, now_s=0)
    assert hints.starts == [150]

    hints.claimed([], began_s=1, now_s=1)
    assert hints.starts == [100]


def test_low_scans_get_five_percent_of_the_time() -> None:
    hints = LaneHints()
    hints.learn(lanes(0))
    hints.lower(now_s=0)
    hints.claimed([claimed(50)], began_s=0, now_s=0.04)
    hints.lower(now_s=0.8)
    assert hints.starts == [50]

    hints.lower(now_s=0.9)
    assert hints.starts == [0]


def test_where_every_claim_is_slow_a_late_job_waits_a_second_for_its_scan_and_no_longer() -> None:
    hints = LaneHints()
    hints.learn(lanes(0))
    late = SweptLane(lane=1, floor=9, first_ready_pos=20, promoted=0)
    hints.lower(now_s=0)
    hints.claimed([claimed(50)], began_s=0, now_s=1.6)
    assert not hints.swept([late], now_s=2.5)

    assert hints.swept([late], now_s=2.7)
    assert hints.starts == [19]


def test_a_job_that_the_sweep_found_behind_the_hint_is_claimed_next() -> None:
    hints = LaneHints()
    hints.learn(lanes(0))
    hints.claimed([claimed(50)], began_s=0, now_s=0)
    late = SweptLane(lane=1, floor=9, first_ready_pos=20, promoted=0)

    assert hints.swept([late], now_s=1)
    assert hints.starts == [19]
    assert not hints.swept([SweptLane(lane=7, floor=1, first_ready_pos=2, promoted=0)], now_s=9)


def test_hints_stay_where_they_are_while_floors_come_down() -> None:
    hints = LaneHints()
    assert hints.learn(lanes(100))
    assert not hints.learn(lanes(40))
    hints.swept([SweptLane(lane=1, floor=70, first_ready_pos=None, promoted=0)], now_s=0)

    assert hints.starts == [100]


def test_a_wake_up_does_not_pass_what_a_sweep_found_behind_an_earlier_floor() -> None:
    hints = LaneHints()
    hints.learn(lanes(100))
    hints.swept([SweptLane(lane=1, floor=69, first_ready_pos=70, promoted=0)], now_s=1)
    hints.lower(now_s=1)

    assert hints.starts == [69]


@given(failures=st.integers(0, 10_000), unit=st.floats(0, 1, exclude_max=True))
def test_reconnections_are_spread_and_never_more_than_two_seconds_apart(
    failures: int, unit: float
) -> None:
    assert 0.02 <= backoff_s(failures, unit) <= MOST_DELAY_S


@given(st.floats(0, 1e9))
def test_a_wait_falls_into_the_first_bucket_that_holds_it(wait_s: float) -> None:
    bucket = wait_bucket(wait_s)

    assert 0 <= bucket <= 47
    assert bucket == 47 or wait_s <= 0.01 * 2 ** (bucket / 2)
    assert bucket == 0 or wait_s > 0.01 * 2 ** ((bucket - 1) / 2)
