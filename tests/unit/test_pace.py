"""Wake-ups bring reads forward; storms of them do not."""

from queueworker_operator.controller.pace import Pace
from queueworker_operator.settings import LoopSettings

SETTINGS = LoopSettings()


def fresh(now_s: float = 100.0) -> Pace:
    return Pace(read_at_s=now_s, early_left=SETTINGS.early_reads)


def reads_in(seconds: float, *, woken: bool) -> list[float]:
    pace, times, until_s = fresh(), [], 100.0 + seconds
    while True:
        due_s = pace.woken_at_s(SETTINGS) if woken else pace.regular_at_s(SETTINGS)
        if due_s > until_s:
            return times
        pace = pace.began(due_s, SETTINGS)
        times.append(due_s)


def test_without_a_wake_up_there_is_one_read_a_second() -> None:
    assert len(reads_in(60.0, woken=False)) == 60


def test_a_single_wake_up_is_answered_within_a_fifth_of_a_second() -> None:
    assert fresh(0.0).woken_at_s(SETTINGS) == SETTINGS.least_gap_s


def test_a_storm_of_wake_ups_gets_at_most_five_reads_in_its_first_second() -> None:
    assert 4 <= len(reads_in(1.0, woken=True)) <= 5


def test_a_lasting_storm_costs_a_quarter_more_reads_at_most() -> None:
    assert 60 <= len(reads_in(60.0, woken=True)) <= 60 * 1.25 + SETTINGS.early_reads


def test_regular_reads_use_up_no_early_ones() -> None:
    pace = fresh()
    for second in range(1, 100):
        pace = pace.began(100.0 + second, SETTINGS)

    assert pace.woken_at_s(SETTINGS) == pace.read_at_s + SETTINGS.least_gap_s
