"""What a worker may do with jobs, from the first wish to the last second."""

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueworker.drain import Drain, Phase

FRESH = Drain(grace_s=30.0)
ORDER = [Phase.RUNNING, Phase.DRAINING, Phase.RELEASING, Phase.GONE]


def test_a_worker_works_until_somebody_objects() -> None:
    assert FRESH.phase(now_s=1e9) is Phase.RUNNING
    assert FRESH.remaining_s(now_s=1e9) == float("inf")


def test_the_flag_can_be_taken_back() -> None:
    flagged = FRESH.with_flag(is_flagged=True)

    assert flagged.phase(0) is Phase.DRAINING
    assert flagged.phase(1e9) is Phase.DRAINING
    assert flagged.with_flag(is_flagged=False).phase(0) is Phase.RUNNING


def test_a_signal_cannot_be_taken_back() -> None:
    signalled = FRESH.with_signal(now_s=100).with_flag(is_flagged=False)

    assert signalled.phase(100) is Phase.DRAINING
    assert signalled.is_ending
    assert signalled.with_flag(is_flagged=True).phase(130) is Phase.GONE


@pytest.mark.parametrize("grace_s", [0.0, 1.0, 30.0, 3600.0])
def test_jobs_are_given_back_before_the_grace_is_over(grace_s: float) -> None:
    signalled = Drain(grace_s=grace_s).with_signal(now_s=100)
    last_s = 100 + grace_s

    assert signalled.phase(last_s) is Phase.GONE
    assert signalled.margin_s >= min(0.2 * grace_s, 5)
    assert signalled.remaining_s(100) == pytest.approx(grace_s - signalled.margin_s)


def test_the_second_signal_ends_the_patience() -> None:
    twice = FRESH.with_signal(100).with_signal(101)

    assert twice.phase(101) is Phase.RELEASING
    assert twice.remaining_s(101) == 0
    assert twice.phase(101 + twice.release_s) is Phase.GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Some time passes, then the flag is set or cleared, or (None) a signal comes."""

    after_s: float
    flag: bool | None


steps = st.lists(
    st.builds(Step, after_s=st.floats(0, 100), flag=st.sampled_from([True, False, None])),
    max_size=12,
)
graces_s = st.floats(0, 86_400)


def walk(grace_s: float, story: list[Step]) -> list[tuple[float, Drain]]:
    """Give each time with the state from then on."""
    now_s, drain = 1000.0, Drain(grace_s=grace_s)
    states = [(now_s, drain)]
    for step in story:
        now_s += step.after_s
        drain = (
            drain.with_signal(now_s) if step.flag is None else drain.with_flag(is_flagged=step.flag)
        )
        states.append((now_s, drain))
    return states


@given(graces_s, steps)
def test_from_the_first_signal_on_the_phase_only_advances(
    grace_s: float, story: list[Step]
) -> None:
    phases = [drain.phase(now_s) for now_s, drain in walk(grace_s, story) if drain.is_ending]
    ranks = [ORDER.index(phase) for phase in phases]

    assert ranks == sorted(ranks)
    assert Phase.RUNNING not in phases


@given(graces_s, steps)
def test_everything_ends_before_sigkill_however_many_signals_come(
    grace_s: float, story: list[Step]
) -> None:
    states = walk(grace_s, story)
    first_s = next((now_s for now_s, drain in states if drain.is_ending), None)
    for now_s, drain in states:
        if first_s is None or drain.finish_by_s is None or drain.gone_by_s is None:
            assert drain.remaining_s(now_s) == math.inf
            continue
        assert drain.finish_by_s <= drain.gone_by_s <= first_s + grace_s + 1e-6
        assert 0 <= drain.remaining_s(now_s) <= grace_s
        assert drain.phase(first_s + grace_s + 1e-6) is Phase.GONE


@given(graces_s, steps)
def test_another_signal_never_gives_more_time(grace_s: float, story: list[Step]) -> None:
    states = [(now_s, drain) for now_s, drain in walk(grace_s, story) if drain.is_ending]
    for (_, before), (now_s, after) in pairwise(states):
        assert after.remaining_s(now_s) <= before.remaining_s(now_s)
        assert (after.gone_by_s or 0) <= (before.gone_by_s or 0)


@given(graces_s, steps)
def test_before_a_signal_the_last_word_of_the_flag_decides(
    grace_s: float, story: list[Step]
) -> None:
    flags = [step.flag for step in story]
    story = story[: flags.index(None)] if None in flags else story
    now_s, drain = walk(grace_s, story)[-1]
    is_flagged = bool(story) and bool(story[-1].flag)

    assert drain.phase(now_s + 1e9) is (Phase.DRAINING if is_flagged else Phase.RUNNING)


@given(graces_s)
def test_the_budget_is_for_the_jobs_and_the_margin_holds_both_ways_out(grace_s: float) -> None:
    drain = Drain(grace_s=grace_s).with_signal(0)

    assert drain.remaining_s(0) >= min(0.8 * grace_s, max(grace_s - 1, grace_s / 2)) - 1e-6
    assert drain.release_s + drain.last_resort_s <= drain.margin_s <= 5


@given(graces_s, steps)
def test_whenever_the_end_begins_it_is_over_before_sigkill(
    grace_s: float, story: list[Step]
) -> None:
    states = walk(grace_s, story)
    first_s = next((now_s for now_s, drain in states if drain.is_ending), None)
    for now_s, drain in states:
        if first_s is None or drain.gone_by_s is None:
            assert drain.end_within_s(now_s) >= 0.5
            continue
        spare_s = 0.14 * drain.margin_s
        assert now_s + drain.end_within_s(now_s) <= max(now_s, first_s + grace_s - spare_s) + 1e-6
