"""Jobs are late by the promise of the time in which they started."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.lags import lag
from tests.support.rule_play import started

from queueworker_operator.lag import QueueLag
from queueworker_operator.lag.late import NONE_LATE
from queueworker_operator.lag.sample import late_total

BEFORE = started(lag(), 100, 40.0)
WAITS_S = st.lists(st.floats(0.01, 1000.0), max_size=20)


def test_what_started_before_the_first_reading_is_not_counted() -> None:
    assert NONE_LATE.refresh([BEFORE], 5.0).total == 0


def test_each_start_is_judged_by_the_promise_of_its_time() -> None:
    first = NONE_LATE.refresh([BEFORE], 30.0)
    in_time = started(BEFORE, 7, 10.0)
    kept = first.refresh([in_time], 30.0)
    tighter = kept.refresh([in_time], 5.0)
    broken = tighter.refresh([started(in_time, 3, 10.0)], 5.0)
    looser = broken.refresh([started(in_time, 3, 10.0)], 60.0)

    assert [late.total for late in (kept, tighter, broken, looser)] == [0, 0, 3, 3]


def test_a_queue_that_joins_or_leaves_brings_and_takes_no_late_job() -> None:
    other = started(lag("reports"), 50, 40.0)
    alone = NONE_LATE.refresh([BEFORE], 5.0).refresh([started(BEFORE, 2, 10.0)], 5.0)
    both = alone.refresh([started(BEFORE, 2, 10.0), other], 5.0)
    later = both.refresh([started(BEFORE, 2, 10.0), started(other, 4, 10.0)], 5.0)
    left = later.refresh([started(BEFORE, 2, 10.0)], 5.0)
    back = left.refresh([started(BEFORE, 2, 10.0), started(other, 9, 10.0)], 5.0)

    assert [late.total for late in (alone, both, later, left, back)] == [2, 2, 6, 6, 6]


@pytest.mark.parametrize(
    "restored", [lag(), started(lag(), 200, 10.0), replace(BEFORE, wait_histogram=())]
)
def test_another_database_begins_anew(restored: QueueLag) -> None:
    late = NONE_LATE.refresh([BEFORE], 5.0).refresh([started(BEFORE, 1, 10.0)], 5.0)
    again = late.refresh([restored], 5.0)

    assert again.total == 1
    assert again.refresh([restored], 5.0).total == 1


@given(readings=st.lists(WAITS_S, max_size=5), promise_s=st.floats(1.0, 900.0))
def test_while_the_promise_stays_it_is_the_growth_of_the_late_waits(
    readings: list[list[float]], promise_s: float
) -> None:
    row, late = BEFORE, NONE_LATE.refresh([BEFORE], promise_s)
    for waits_s in readings:
        for wait_s in waits_s:
            row = started(row, 1, wait_s)
        late = late.refresh([row], promise_s)

    grown = late_total(row.wait_histogram, promise_s) - late_total(BEFORE.wait_histogram, promise_s)
    assert late.total == pytest.approx(grown)
