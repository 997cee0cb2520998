"""An impossible value in a row is refused, never taken for zero."""

import math
from typing import Any

import pytest

from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag.rows import queue_lag, worker_state

COUNTS = [
    "ready",
    "running",
    "scheduled",
    "dead",
    "enqueued_total",
    "promoted_total",
    "retried_total",
    "released_total",
    "rescued_total",
    "rescued_pod_gone_total",
    "refused_total",
    "started_total",
    "succeeded_total",
    "failed_total",
    "service_count",
    "slots",
    "busy_slots",
    "workers",
    "draining_workers",
]
AMOUNTS = ["at_s", "busy_slot_seconds_total", "service_sum_s", "service_sq_sum_s2"]


def row(**changes: object) -> dict[str, Any]:
    return {
        "queue": "mail",
        **dict.fromkeys(COUNTS, 1),
        **dict.fromkeys(AMOUNTS, 1.0),
        "ready_is_exact": True,
        "oldest_ready_age_s": 1.0,
        "due_5s": [0, 1],
        "wait_histogram": [0, 1],
        "paused": False,
        "ready_by_task": {"send": 1},
        "worker_tasks": ["send"],
        **changes,
    }


def test_a_good_row_is_taken_over() -> None:
    lag = queue_lag(row(ready=7))

    assert (lag.queue, lag.ready, lag.due_5s, lag.ready_by_task) == ("mail", 7, (0, 1), {"send": 1})


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [None, -1, 1.5, math.nan])
def test_a_count_that_cannot_be_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(LagUnavailable, match=f"mail: {name} is "):
        queue_lag(row(**{name: value}))


def test_more_jobs_of_gone_pods_than_were_rescued_are_refused() -> None:
    with pytest.raises(LagUnavailable, match="mail: rescued_pod_gone_total is 3"):
        queue_lag(row(rescued_total=2, rescued_pod_gone_total=3))


@pytest.mark.parametrize("name", [*AMOUNTS, "oldest_ready_age_s"])
@pytest.mark.parametrize("value", [None, -2.0, math.nan, math.inf])
def test_an_amount_that_cannot_be_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(LagUnavailable, match=f"mail: {name} is "):
        queue_lag(row(**{name: value}))


def test_nothing_ready_has_no_age() -> None:
    assert queue_lag(row(ready=0, oldest_ready_age_s=None)).oldest_ready_age_s == 0.0


def test_an_age_just_below_zero_is_the_clocks_crossing() -> None:
    assert queue_lag(row(oldest_ready_age_s=-0.004)).oldest_ready_age_s == 0.0


def test_a_worker_without_a_running_job_has_no_oldest_start() -> None:
    state = worker_state(
        {
            "worker_id": "00000000-0000-0000-0000-000000000001",
            "pod": "mail-1",
            "slots": 4,
            "busy": 0,
            "held": 0,
            "oldest_start_age_s": None,
            "drain": False,
            "draining": False,
            "drain_age_s": None,
            "drain_remaining_s": None,
            "started_age_s": 3.0,
            "lease_remaining_s": 9.0,
            "version": "0.1.0",
            "namespace": "shop",
            "pod_uid": "",
        }
    )

    assert (state.pod, state.slots, state.oldest_start_age_s) == ("mail-1", 4, None)
