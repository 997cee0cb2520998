"""Wake-ups bring reads forward; storms of them do not."""

import pytest

from queueworker_operator.controller.pace import Pace
from queueworker_operator.lag import Wake
from queueworker_operator.settings import LoopSettings

SETTINGS = LoopSettings()


def fresh(now_s: float = 100.0) -> Pace:
    return Pace(read_at_s=now_s, early_left=SETTINGS.early_reads)


def after_storm(wake: Wake, seconds: float = 60.0) -> tuple[Pace, int]:
    """Wake the loop without a pause; give where that ends and how many reads it took."""
    pace, reads, until_s = fresh(), 0, 100.0 + seconds
    while (due_s := pace.due_at_s(SETTINGS, wake)) <= until_s:
        pace, reads = pace.began(due_s, SETTINGS), reads + 1
    return pace, reads


def test_without_a_wake_up_there_is_one_read_a_second() -> None:
    assert after_storm(Wake.NONE)[1] == 60


@pytest.mark.parametrize("wake", [Wake.ROUTINE, Wake.URGENT])
def test_a_single_wake_up_is_answered_within_a_fifth_of_a_second(wake: Wake) -> None:
    assert fresh(0.0).due_at_s(SETTINGS, wake) == SETTINGS.least_gap_s


def test_a_storm_of_wake_ups_gets_at_most_five_reads_in_its_first_second() -> None:
    assert 4 <= after_storm(Wake.URGENT, 1.0)[1] <= 5


@pytest.mark.parametrize("wake", [Wake.ROUTINE, Wake.URGENT])
def test_a_lasting_storm_costs_a_tenth_more_reads_at_most(wake: Wake) -> None:
    _, reads = after_storm(wake, 600.0)

    assert 600 <= reads <= 600 * 1.1 + SETTINGS.early_reads


def test_a_queue_without_workers_is_answered_early_though_busy_ones_wake_all_the_time() -> None:
    pace, _ = after_storm(Wake.ROUTINE, 600.0)

    assert pace.due_at_s(SETTINGS, Wake.URGENT) == pace.read_at_s + SETTINGS.least_gap_s


def test_an_early_read_that_led_to_a_write_costs_nothing() -> None:
    pace = fresh()
    for number in range(50):
        pace = pace.began(100.0 + (number + 1) * SETTINGS.least_gap_s, SETTINGS).paid_off()

    assert pace.early_left == SETTINGS.early_reads


def test_a_read_that_is_only_a_little_early_costs_little() -> None:
    pace = fresh().began(100.9, SETTINGS)

    assert pace.early_left == pytest.approx(SETTINGS.early_reads - 0.1)


def test_regular_reads_use_up_no_early_ones() -> None:
    pace = fresh()
    for second in range(1, 100):
        pace = pace.began(100.0 + second, SETTINGS)

    assert pace.due_at_s(SETTINGS, Wake.URGENT) == pace.read_at_s + SETTINGS.least_gap_s
