"""Readings become rows of a trace, and the mean and variation of a job."""

from typing import Any

import pytest
from tests.support.lags import lag

from queueworker_operator.lag import QueueLag
from queueworker_operator.simulate.recording import Recording


def reading(**queues: dict[str, Any]) -> dict[str, QueueLag]:
    return {name: lag(name, **fields) for name, fields in queues.items()}


def test_enqueued_and_due_jobs_have_rows_of_their_own() -> None:
    first = reading(mail={"at_s": 10.0, "enqueued_total": 5, "promoted_total": 1})
    recording = Recording(first=first, last=first)

    recording, rows = recording.add(
        reading(mail={"at_s": 15.0, "enqueued_total": 9, "promoted_total": 4})
    )
    recording, later = recording.add(
        reading(mail={"at_s": 20.5, "enqueued_total": 9, "promoted_total": 4})
    )

    assert rows == ["0.000,4,0", "0.000,3,1"]
    assert later == ["5.000,0,0"]
    assert (recording.jobs, recording.lasts_s) == (7, 10.5)


def test_a_counter_that_went_back_counts_nothing() -> None:
    first = reading(mail={"at_s": 10.0, "enqueued_total": 500}, news={"enqueued_total": 1})

    _, rows = Recording(first=first, last=first).add(
        reading(mail={"at_s": 15.0, "enqueued_total": 3}, news={"enqueued_total": 3})
    )

    assert rows == ["0.000,2,0"]


def test_the_time_of_a_job_is_that_of_those_that_ended() -> None:
    first = reading(mail={"service_count": 10, "service_sum_s": 50.0, "service_sq_sum_s2": 500.0})
    last = reading(mail={"service_count": 12, "service_sum_s": 56.0, "service_sq_sum_s2": 520.0})

    service = Recording(first=first, last=last).service()

    assert service is not None
    assert (service.mean_s, service.cv) == pytest.approx((3.0, 1 / 3))
    assert Recording(first=first, last=first).service() is None
