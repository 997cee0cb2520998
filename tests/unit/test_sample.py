"""Rows of queues become one sample."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.lags import BUCKETS, lag
from tests.support.samples import learned

from queueworker_operator.decision.demand import Demand
from queueworker_operator.decision.outlook import claimable_of
from queueworker_operator.lag.sample import (
    NONE_UNKNOWN,
    UNKNOWN_FOR_S,
    Unknown,
    edge_s,
    late_total,
    pool,
)


def histogram(**waits: int) -> tuple[int, ...]:
    counts = [0] * BUCKETS
    for name, count in waits.items():
        counts[int(name.removeprefix("bucket_"))] = count
    return tuple(counts)


def test_jobs_of_all_queues_add_up_and_the_oldest_one_counts() -> None:
    sample = pool(
        [lag("a", ready=3, oldest_ready_age_s=4.0), lag("b", ready=5, oldest_ready_age_s=9.0)],
        30.0,
        NONE_UNKNOWN,
    )

    assert (sample.ready, sample.oldest_age_s) == (8, 9.0)


def test_old_jobs_of_a_queue_are_not_hidden_by_jobs_of_another_that_nobody_can_claim() -> None:
    strange = {"ready_by_task": {"new": 3}, "workers": 1, "worker_tasks": ("old",)}
    rows = [
        lag("a", ready=3, oldest_ready_age_s=600.0, **strange),
        lag("b", ready=5, oldest_ready_age_s=28.0, workers=1),
    ]
    pooled = pool(rows, 30.0, NONE_UNKNOWN.refresh(rows))

    assert (pooled.oldest_age_s, pooled.claimable_age_s) == (600.0, 28.0)
    assert claimable_of(learned(rate_per_s=100.0), pooled) == (5, 28.0)


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 120)), min_size=1, max_size=5),
    st.floats(0, 60),
)
def test_what_is_due_of_pooled_queues_is_never_less_than_of_each_by_itself(
    queues: list[tuple[int, float]], time_s: float
) -> None:
    rows = [lag(f"q{i}", ready=n, oldest_ready_age_s=age) for i, (n, age) in enumerate(queues)]
    pooled = pool(rows, 30.0, NONE_UNKNOWN)

    def due(jobs: float, age_s: float) -> float:
        demand = Demand(backlog=jobs, oldest_age_s=age_s, rate_per_s=0.0, deadline_s=25.5)
        return demand.due_by(time_s)

    apart = sum(due(jobs, age_s) for jobs, age_s in queues if jobs)

    assert due(pooled.ready, pooled.oldest_age_s) >= apart - 1e-6


def test_a_worker_that_serves_two_queues_is_counted_once() -> None:
    served = {"slots": 12, "workers": 3}

    sample = pool([lag("a", **served), lag("b", **served)], 30.0, NONE_UNKNOWN)

    assert (sample.workers, sample.slots_per_pod) == (3, 4)


def test_without_a_worker_the_slots_are_unknown_not_zero() -> None:
    assert pool([lag(ready=1)], 30.0, NONE_UNKNOWN).slots_per_pod is None


def test_promoted_jobs_are_arrivals_that_were_announced() -> None:
    sample = pool([lag(enqueued_total=10, promoted_total=4)], 30.0, NONE_UNKNOWN)

    assert (sample.enqueued_total, sample.announced_total) == (14, 4)


def test_released_and_rescued_jobs_are_no_arrivals() -> None:
    sample = pool([lag(enqueued_total=10, released_total=7, rescued_total=2)], 30.0, NONE_UNKNOWN)

    assert sample.enqueued_total == 10


def test_jobs_of_a_paused_queue_are_no_backlog() -> None:
    rows = [lag("a", ready=3, oldest_ready_age_s=5.0, paused=True), lag("b", ready=1)]

    sample = pool(rows, 30.0, NONE_UNKNOWN)

    assert (sample.ready, sample.oldest_age_s) == (1, 0.0)


def test_announced_jobs_of_two_queues_meet_in_their_buckets() -> None:
    sample = pool([lag("a", due_5s=(1, 2)), lag("b", due_5s=(10, 0, 5))], 30.0, NONE_UNKNOWN)

    assert sample.due_5s == (11, 2, 5)


def test_a_task_that_no_live_worker_registered_is_unclaimable() -> None:
    rows = [lag(ready=5, ready_by_task={"old": 3, "new": 2}, workers=1, worker_tasks=("old",))]

    sample = pool(rows, 30.0, NONE_UNKNOWN.refresh(rows))

    assert (sample.ready, sample.unclaimable) == (5, 2)


def test_every_task_counts_until_a_worker_has_lived() -> None:
    rows = [lag(ready=2, ready_by_task={"new": 2})]

    assert pool(rows, 30.0, NONE_UNKNOWN.refresh(rows)).unclaimable == 0


def test_an_unknown_task_stays_unknown_after_the_last_worker_and_is_asked_for_again_later() -> None:
    waiting = lag(ready=2, ready_by_task={"new": 2})
    asked = NONE_UNKNOWN.refresh([replace(waiting, workers=1, worker_tasks=("old",))])

    soon = asked.refresh([replace(waiting, at_s=1000.0 + UNKNOWN_FOR_S - 1)])
    later = soon.refresh([replace(waiting, at_s=1000.0 + UNKNOWN_FOR_S)])

    assert set(soon.tasks) == {("mail", "new")}
    assert later == Unknown(tasks={})


def test_waits_above_the_promise_are_late_and_their_bucket_is_split() -> None:
    middle_s = (edge_s(9) + edge_s(10)) / 2

    assert late_total(histogram(bucket_9=7, bucket_10=8, bucket_11=2), middle_s) == pytest.approx(6)


def test_waits_without_an_upper_edge_are_late_whole() -> None:
    assert late_total(histogram(bucket_47=3), 86_400.0) == 3


@given(
    counts=st.lists(st.integers(0, 10**9), min_size=BUCKETS, max_size=BUCKETS),
    start_within_s=st.floats(1.0, 86_400.0),
)
def test_late_waits_are_never_more_than_all_and_a_longer_promise_has_fewer(
    counts: list[int], start_within_s: float
) -> None:
    late = late_total(counts, start_within_s)

    assert 0 <= late <= sum(counts)
    assert late_total(counts, start_within_s * 2) <= late
