"""What two readings of a queue tell."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueworker.cli.flow import Flow, drain_in_s, flow, quantile_s
from queueworker.cli.stats_table import EXPENDABLE, Pair, duration, lines, rate
from queueworker.store import LagRow
from queueworker.waits import WAIT_BUCKETS, WAIT_EDGES_S, wait_bucket

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROW = LagRow(
    queue="mail",
    sampled_at=AT,
    ready=100,
    ready_is_exact=True,
    oldest_ready_age_s=4.0,
    running=3,
    scheduled=0,
    due_5s=[0] * 60,
    due_60s=0,
    due_300s=0,
    dead=0,
    enqueued_total=1000,
    promoted_total=10,
    retried_total=0,
    released_total=0,
    rescued_total=0,
    rescued_pod_gone_total=0,
    refused_total=0,
    started_total=900,
    succeeded_total=890,
    failed_total=10,
    busy_slot_seconds_total=100.0,
    service_count=900,
    service_sum_s=90.0,
    service_sq_sum_s2=9.0,
    wait_histogram=[0] * WAIT_BUCKETS,
    slots=10,
    busy_slots=3,
    workers=1,
    draining_workers=0,
    paused=False,
    ready_by_task={},
    worker_tasks=[],
)


def later(over_s: float, **changes: float) -> LagRow:
    """Give a later reading; counters are told by how much they grew."""
    grown = {
        name: getattr(ROW, name) + change
        for name, change in changes.items()
        if name.endswith(("_total", "_count", "_sum_s"))
    }
    rest = {name: change for name, change in changes.items() if name not in grown}
    return replace(ROW, sampled_at=AT + timedelta(seconds=over_s), **grown, **rest)  # type: ignore[arg-type]  # fields


def test_rates_are_differences_by_the_databases_clock() -> None:
    moved = flow(
        ROW,
        later(
            2.0,
            enqueued_total=20,
            promoted_total=4,
            succeeded_total=50,
            failed_total=10,
            service_count=60,
            service_sum_s=30.0,
        ),
    )

    assert (moved.arrivals_per_s, moved.throughput_per_s, moved.service_s) == (12, 30, 0.5)
    assert moved.drain_in_s == pytest.approx(100 / 18)


def test_a_backlog_that_grows_is_never_drained_and_an_empty_one_is() -> None:
    growing = later(1.0, enqueued_total=50, succeeded_total=50)
    assert flow(ROW, growing).drain_in_s == math.inf
    assert flow(ROW, replace(growing, ready=0)).drain_in_s == 0


@pytest.mark.parametrize("stopped", [{"paused": True}, {"workers": 0}, {"draining_workers": 1}])
def test_nothing_is_drained_while_nobody_may_claim(stopped: dict[str, int]) -> None:
    assert drain_in_s(replace(ROW, **stopped), 0.0, 50.0, 0.1) == math.inf  # type: ignore[arg-type]


def test_long_jobs_are_estimated_by_their_service_time() -> None:
    # Nothing ended within the second: 3 busy slots of 30 s each give 0.1 jobs a second.
    assert drain_in_s(ROW, 0.0, 0.0, 30.0) == pytest.approx(1000)
    assert drain_in_s(ROW, 0.0, 0.0, None) is None
    assert drain_in_s(replace(ROW, busy_slots=0), 0.0, 0.0, 30.0) is None


def test_counters_that_began_anew_tell_nothing() -> None:
    assert flow(ROW, later(1.0, succeeded_total=-5)) == Flow(over_s=1.0)
    assert flow(ROW, ROW) == Flow(over_s=0.0)


def test_only_the_waits_between_the_readings_count() -> None:
    old = replace(ROW, wait_histogram=[1000] + [0] * (WAIT_BUCKETS - 1))
    new = list(old.wait_histogram)
    new[wait_bucket(3.0)] += 10
    moved = flow(old, replace(later(1.0), wait_histogram=new))

    assert moved.wait_p50_s == pytest.approx(3.0, rel=0.42)


@given(st.lists(st.floats(0, 3600), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(waits: list[float], share: float) -> None:
    counts = [0] * WAIT_BUCKETS
    for wait_s in waits:
        counts[wait_bucket(wait_s)] += 1
    exact_s = sorted(waits)[math.ceil(share * len(waits) - 1e-9) - 1]
    found_s = quantile_s(counts, share)

    assert found_s is not None
    bucket = wait_bucket(exact_s)
    assert (WAIT_EDGES_S[bucket - 1] if bucket else 0) <= found_s <= WAIT_EDGES_S[bucket]


def test_no_wait_has_no_quantile_and_one_beyond_the_last_edge_is_infinite() -> None:
    assert quantile_s([0] * WAIT_BUCKETS, 0.5) is None
    assert quantile_s([0] * (WAIT_BUCKETS - 1) + [1], 0.5) == math.inf


def pairs(*names: str, **changes: object) -> list[Pair]:
    moved = Flow(over_s=1.0, arrivals_per_s=12.0, throughput_per_s=3400.0, drain_in_s=math.inf)
    return [
        (replace(ROW, queue=name, ready=index, **changes), moved)  # type: ignore[arg-type]
        for index, name in enumerate(names)
    ]


def test_the_table_has_a_line_a_queue_and_says_never_and_unknown() -> None:
    header, line = lines(pairs("mail"), None, None)

    cells = dict(zip(header.replace("WAIT P50", "P50").replace("DRAIN IN", "DRAIN").split(),
                     line.split(), strict=True))  # fmt: skip
    assert (cells["QUEUE"], cells["READY"], cells["IN/S"], cells["OUT/S"]) == (
        "mail", "0", "12", "3.4k",
    )  # fmt: skip
    assert (cells["DRAIN"], cells["P50"], cells["SLOTS"]) == ("never", "-", "3/10")
    assert "STATE" not in header
    assert lines(pairs("mail", paused=True), None, None)[1].endswith("paused")
    assert lines([], 80, 24) == ["no queues yet"]


def test_a_task_that_no_live_worker_knows_has_a_line_below_the_table() -> None:
    unknown = pairs("mail", ready_by_task={"a": 3, "b": 1}, worker_tasks=["b"])
    (_, _, note) = lines(unknown, None, None)
    assert note == "queue mail: 3 ready jobs of task 'a': no live worker knows it"
    many = pairs("mail", ready_by_task={f"task {n}": 1 for n in range(9)})
    assert lines(many, None, None)[-1] == "... and 5 more such tasks"
    assert len(lines(pairs("mail", ready_by_task={"a": 3}, workers=0), None, None)) == 2


def test_draining_workers_are_told() -> None:
    assert lines(pairs("mail", draining_workers=2), None, None)[1].endswith("2 draining")


@given(st.integers(1, 200), st.integers(2, 40), st.integers(1, 60), st.integers(0, 9))
def test_the_table_never_exceeds_the_terminal(
    width: int, height: int, count: int, unknown: int
) -> None:
    tasks = {f"task {n}": 1 for n in range(unknown)}
    names = [f"queue-{n}" for n in range(count)]
    shown = lines(pairs(*names, ready_by_task=tasks), width, height)

    assert max(map(len, shown)) <= width
    assert len(shown) <= max(height, 3)


def test_a_narrow_table_keeps_queue_and_backlog_and_a_low_one_the_largest_backlogs() -> None:
    narrow = lines(pairs("mail", "reports"), 16, None)
    assert [line.split() for line in narrow] == [
        ["QUEUE", "READY"],
        ["mail", "0"],
        ["reports", "1"],
    ]
    low = lines(pairs(*"abcdefgh"), None, 5)
    assert [line.split()[0] for line in low] == ["QUEUE", "f", "g", "h", "and"]
    assert "5 more queues" in low[-1]
    assert "QUEUE" not in EXPENDABLE


@pytest.mark.parametrize(
    ("span_s", "text"),
    [(None, "-"), (0, "0s"), (0.035, "35ms"), (4.25, "4.2s"), (190, "3m10s"), (7260, "2h1m")],
)
def test_times_are_short(span_s: float | None, text: str) -> None:
    assert duration(span_s) == text


@pytest.mark.parametrize(
    ("per_s", "text"), [(None, "-"), (0, "0"), (0.25, "0.25"), (12, "12"), (3400, "3.4k")]
)
def test_rates_are_short(per_s: float | None, text: str) -> None:
    assert rate(per_s) == text
