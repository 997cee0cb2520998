"""Trials of fewer and of more pods, step by step."""

from dataclasses import replace

import pytest
from tests.support.guarding import FLAT, SCENE, at, measured, scene, seen
from tests.support.samples import AT_S

from queueworker_operator.decision.guard import learn_guard
from queueworker_operator.decision.state import Guard, GuardMode, Tally


@pytest.mark.parametrize(("busy", "settled"), [(80.0, True), (90.0, False)])
def test_fewer_pods_are_measured_once_the_others_are_gone(busy: float, settled: bool) -> None:
    began = at(GuardMode.DOWN, settled_s=None, since_s=AT_S - 10.0)

    guard, evidence = learn_guard(began, seen(FLAT), scene(busy=busy))

    assert (guard.settled_s == AT_S) == settled
    assert evidence.ticks == ()
    assert learn_guard(began, seen(FLAT), scene(30.0, busy=busy))[0].settled_s is not None


@pytest.mark.parametrize(("busy", "settled"), [(37.0, True), (36.0, False)])
def test_more_pods_are_measured_once_they_run(busy: float, settled: bool) -> None:
    began = at(GuardMode.UP, settled_s=None, since_s=AT_S - 10.0)

    guard, _ = learn_guard(began, seen(()), scene(busy=busy))

    assert (guard.settled_s == AT_S) == settled
    assert learn_guard(began, seen(()), scene(60.0, busy=busy))[0].settled_s is not None


def test_what_is_measured_before_completions_follow_does_not_count() -> None:
    guard = at(GuardMode.DOWN, settled_s=AT_S - 3.0)

    assert learn_guard(guard, seen(FLAT), SCENE) == (guard, seen(()))


def test_a_trial_goes_on_until_it_is_long_and_sure_enough() -> None:
    guard = at(GuardMode.DOWN)

    for ticks in (3, 4):
        evidence = measured(1.0, 20.0, ticks)
        assert learn_guard(guard, evidence, SCENE) == (guard, evidence)
    assert learn_guard(guard, measured(1.0, 20.0, 24), SCENE)[0] != guard


def test_half_the_pods_that_finish_half_were_a_false_alarm_and_silence_doubles() -> None:
    guard = at(GuardMode.DOWN, first=True)
    half = measured(15.0, 20.0)

    once, _ = learn_guard(guard, half, SCENE)
    fourth, _ = learn_guard(replace(guard, alarms=3), half, SCENE)

    assert once == Guard(alarms=1, silent_until_s=AT_S + 300.0)
    assert fourth == Guard(alarms=4, silent_until_s=AT_S + 1200.0)


def test_a_first_step_after_which_as_many_slots_are_busy_proves_nothing() -> None:
    guard, _ = learn_guard(at(GuardMode.DOWN, first=True), measured(30.0, 40.0, 24), SCENE)

    assert guard.mode is GuardMode.FREE


def test_half_the_pods_that_finish_as_much_go_on_down_to_the_knee() -> None:
    guard = at(GuardMode.DOWN, first=True)

    down, evidence = learn_guard(guard, measured(30.0, 20.0), SCENE)

    assert (down.mode, down.cap, down.before, down.first) == (GuardMode.DOWN, 6, 20, False)
    assert down.settled_s is None
    assert evidence.ticks == ()


def test_a_later_step_down_that_finishes_fewer_goes_back_and_rests() -> None:
    guard, _ = learn_guard(at(GuardMode.DOWN), measured(15.0, 20.0), SCENE)

    assert (guard.mode, guard.cap) == (GuardMode.HOLD, 40)


def test_steps_down_end_at_the_knee_and_at_the_fewest() -> None:
    slowed = measured(30.0, 16.0)

    knee, _ = learn_guard(at(GuardMode.DOWN, cap=4), slowed, SCENE)
    fewest, _ = learn_guard(at(GuardMode.DOWN, cap=4), slowed, scene(fewest=4))

    assert (knee.mode, knee.cap) == (GuardMode.HOLD, 4)
    assert (fewest.mode, fewest.cap) == (GuardMode.HOLD, 4)


def test_where_jobs_run_at_full_speed_after_a_step_down_more_are_tried_at_once() -> None:
    """No bottleneck is seen any more: whether it is gone only more pods can tell."""
    down = at(GuardMode.DOWN, failed=2)

    more, evidence = learn_guard(down, measured(30.0, 12.0), SCENE)
    fewer, _ = learn_guard(down, measured(30.0, 14.0), SCENE)

    assert (more.mode, more.cap, more.before, more.failed) == (GuardMode.UP, 28, 20, 0)
    assert more.base == Tally(finished=600.0, busy_s=1200.0, seconds=100.0)
    assert evidence.ticks == ()
    assert (fewer.mode, fewer.cap) == (GuardMode.DOWN, 14)


def test_after_a_first_step_at_full_speed_three_tenths_are_tried_next() -> None:
    guard, _ = learn_guard(at(GuardMode.DOWN, first=True), measured(30.0, 12.0), SCENE)

    assert (guard.mode, guard.cap, guard.first) == (GuardMode.DOWN, 6, False)


def test_full_speed_ends_a_trial_of_fewer_that_was_not_sure_yet() -> None:
    here = scene(fastest_s=30.0)
    few, enough = measured(6.0, 36.0, 4), measured(6.0, 36.0, 8)
    down, first = at(GuardMode.DOWN), at(GuardMode.DOWN, first=True)

    assert learn_guard(down, few, here) == (down, few)
    assert learn_guard(first, enough, here) == (first, enough)
    assert learn_guard(down, enough, SCENE) == (down, enough)
    assert learn_guard(down, enough, here)[0].mode is GuardMode.UP


def test_more_pods_that_finish_more_are_doubled_and_then_set_free() -> None:
    up = at(GuardMode.UP, base=Tally(finished=600.0, busy_s=2000.0, seconds=100.0), before=7)
    more = measured(60.0, 40.0)

    doubled, _ = learn_guard(up, more, SCENE)

    assert (doubled.mode, doubled.cap, doubled.streak) == (GuardMode.UP, 20, 1)
    assert learn_guard(replace(up, streak=1), more, SCENE)[0] == Guard()


def test_a_trial_of_more_ends_once_it_is_clear_that_they_help() -> None:
    base = Tally(finished=600.0, busy_s=20000.0, seconds=1000.0)
    up = at(GuardMode.UP, base=base, before=7)
    half = measured(4.2, 40.0, 9)

    clear, _ = learn_guard(up, measured(6.0, 40.0, 7), SCENE)

    assert (clear.mode, clear.cap) == (GuardMode.UP, 20)
    assert learn_guard(up, half, SCENE) == (up, half)


def test_a_gain_within_its_error_is_none() -> None:
    base = Tally(finished=600.0, busy_s=20000.0, seconds=1000.0)
    up = at(GuardMode.UP, base=base, before=7)

    within, _ = learn_guard(up, measured(4.2, 40.0, 24), SCENE)
    beyond, _ = learn_guard(up, measured(4.4, 40.0, 24), SCENE)

    assert (within.mode, within.cap) == (GuardMode.HOLD, 7)
    assert (beyond.mode, beyond.cap) == (GuardMode.UP, 20)


def test_more_pods_that_finish_no_more_go_back_and_wait_longer() -> None:
    up = at(GuardMode.UP, base=Tally(finished=600.0, busy_s=2000.0, seconds=100.0), before=7)

    guard, _ = learn_guard(up, measured(30.0, 40.0), SCENE)

    assert (guard.mode, guard.cap, guard.failed) == (GuardMode.HOLD, 7, 1)
    assert guard.wait_s == 120.0


def test_where_slots_stay_free_a_trial_down_rests_and_one_up_ends_the_cap() -> None:
    down, up = at(GuardMode.DOWN), at(GuardMode.UP)

    assert learn_guard(down, seen(()), SCENE)[0] == down
    assert learn_guard(down, seen(()), scene(150.0))[0].mode is GuardMode.HOLD
    assert learn_guard(up, seen(()), scene(150.0))[0] == Guard()
