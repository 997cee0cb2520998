"""What a worker may do with jobs, from the first wish to the last second."""

import pytest

from queueworker.drain import Drain, Phase

FRESH = Drain(grace_s=30.0)


def test_a_worker_works_until_somebody_objects() -> None:
    assert FRESH.phase(now_s=1e9) is Phase.WORKING
    assert FRESH.remaining_s(now_s=1e9) == float("inf")


def test_the_flag_can_be_taken_back() -> None:
    flagged = FRESH.with_flag(is_flagged=True)

    assert flagged.phase(0) is Phase.DRAINING
    assert flagged.with_flag(is_flagged=False).phase(0) is Phase.WORKING


def test_a_signal_cannot_be_taken_back() -> None:
    signalled = FRESH.with_signal(now_s=100).with_flag(is_flagged=False)

    assert signalled.phase(100) is Phase.FINISHING
    assert signalled.with_flag(is_flagged=True).phase(100) is Phase.FINISHING


@pytest.mark.parametrize("grace_s", [0.0, 1.0, 30.0, 3600.0])
def test_jobs_are_given_back_before_the_grace_is_over(grace_s: float) -> None:
    signalled = Drain(grace_s=grace_s).with_signal(now_s=100)
    last_s = 100 + grace_s

    assert signalled.phase(last_s) is Phase.RELEASING
    assert signalled.margin_s >= min(0.2 * grace_s, 5)
    assert signalled.remaining_s(100) == pytest.approx(grace_s - signalled.margin_s)


def test_the_second_signal_ends_the_patience() -> None:
    twice = FRESH.with_signal(100).with_signal(101)

    assert twice.phase(101) is Phase.RELEASING
    assert twice.remaining_s(101) == 0
