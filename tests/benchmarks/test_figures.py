"""Figures by hand."""

import os

import pytest
from benchmarks.figures import median_interval, percentile, waits_ms
from benchmarks.running import Start
from benchmarks.scenarios.bulkhead import Period, told
from benchmarks.scenarios.recovery import rerun_times_s
from benchmarks.span import Reading, foreign_load, per_job


def start(pid: int, job_id: int, token: int, at_s: float) -> Start:
    return Start(pid, job_id, token, 1, 0.0, at_s)


def period(answer_ms: float, read_ms: float) -> Period:
    return Period(answers_ms=(answer_ms - 1, answer_ms, answer_ms + 90), read_ms=read_ms)


def reading(at_s: float, cpu_s: float, machine_s: float, wal: int) -> Reading:
    return Reading(
        at_s=at_s,
        client_s=cpu_s,
        server_s=2 * cpu_s,
        ours_s=3 * cpu_s,
        machine_s=machine_s,
        wal_bytes=wal,
    )


@pytest.mark.parametrize(
    ("count", "ends"),
    [(1, (1, 1)), (5, (1, 5)), (6, (1, 6)), (10, (2, 9)), (12, (3, 10)), (20, (6, 15))],
)
def test_the_interval_of_a_median_is_that_of_the_tables(
    count: int, ends: tuple[float, float]
) -> None:
    low, middle, high = median_interval([float(value) for value in range(count, 0, -1)])

    assert (low, high) == ends
    assert middle == (count + 1) / 2


def test_a_hang_is_told_by_the_differences_within_its_pairs() -> None:
    machine_ms = (10.0, 500.0, 50.0)  # it was slow for a while: in both periods of a pair
    pairs = [
        (period(answer_ms=each, read_ms=1.0), period(answer_ms=each + more, read_ms=1.5))
        for each, more in zip(machine_ms, (2.0, 4.0, 3.0), strict=True)
    ]

    figures = told(pairs)

    assert (figures["answer_ms"], figures["answer_ms_beside_a_hang"]) == (50.0, 53.0)
    answers = [figures[f"answer_ms_more{end}"] for end in ("_from", "", "_to")]
    reads = [figures[f"read_ms_more{end}"] for end in ("_from", "", "_to")]
    assert answers == [2.0, 3.0, 4.0]
    assert reads == [0.5, 0.5, 0.5]


def test_a_percentile_is_a_measured_value() -> None:
    values = [float(n) for n in range(1, 101)]

    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.99)) == (
        50.0,
        99.0,
        7.0,
    )
    assert waits_ms([0.001, 0.003, 0.002]) == {
        "p50_ms": 2.0,
        "p99_ms": 3.0,
        "max_ms": 3.0,
        "samples": 3,
    }


def test_only_interrupted_jobs_count_as_rerun_from_the_kill_on() -> None:
    starts = [
        start(1, 10, 1, 5.0),
        start(2, 10, 3, 21.5),
        start(1, 11, 1, 5.1),
        start(2, 12, 2, 5.2),
    ]

    assert rerun_times_s(starts, kills={1: 6.0}) == [15.5]


def test_what_is_not_ours_is_foreign() -> None:
    before, after = reading(0.0, 0.0, 0.0, 1000), reading(10.0, 2.0, 11.0, 3000)

    spent = per_job(before, after, 10)

    assert spent["client_cpu_us"] == 200_000
    assert spent["server_cpu_us"] == 400_000
    assert spent["wal_bytes"] == 200
    cores = os.cpu_count() or 1
    assert foreign_load(before, after) == round(5.0 / (10.0 * cores), 3)
