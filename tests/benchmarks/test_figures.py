"""Figures by hand."""

import os

from benchmarks.figures import percentile, waits_ms
from benchmarks.running import Start
from benchmarks.scenarios.recovery import rerun_times_s
from benchmarks.span import Reading, foreign_load, per_job


def start(pid: int, job_id: int, token: int, at_s: float) -> Start:
    return Start(pid, job_id, token, 1, 0.0, at_s)


def reading(at_s: float, cpu_s: float, machine_s: float, wal: int) -> Reading:
    return Reading(
        at_s=at_s,
        client_s=cpu_s,
        server_s=2 * cpu_s,
        ours_s=3 * cpu_s,
        machine_s=machine_s,
        wal_bytes=wal,
    )


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
