"""Whose container ended a while ago may run its next worker: that one's lease must not end."""

from typing import Any

import pytest

from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.objects import Pod

NOW_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z
JUST_NOW, LONG_AGO = "2025-12-31T23:59:58Z", "2025-12-31T23:59:40Z"
RUNS: dict[str, Any] = {"running": {}}
WAITS: dict[str, Any] = {"waiting": {"reason": "CrashLoopBackOff"}}


class Clock:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def cache(clock: Clock) -> ClusterCache:
    return ClusterCache(clock, lambda: NOW_S)


def ended(at: str | None) -> dict[str, Any]:
    return {"terminated": {"exitCode": 137, "finishedAt": at}}


def pod(version: int, *containers: dict[str, Any], phase: str = "Running") -> dict[str, Any]:
    names = [f"worker-{number}" for number in range(len(containers))]
    statuses = [one | {"name": name} for one, name in zip(containers, names, strict=True)]
    return {
        "metadata": {
            "namespace": "shop",
            "name": "mail",
            "uid": "1",
            "resourceVersion": str(version),
        },
        "spec": {"containers": [{"name": name, "args": ["worker"]} for name in names]},
        "status": {"phase": phase, "containerStatuses": statuses},
    }


def state(restarts: int, now: dict[str, Any], last: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"restartCount": restarts, "state": now, "lastState": last or {}}


def gone(cache: ClusterCache) -> list[Pod]:
    return list(cache.gone_since(0))


@pytest.mark.parametrize(
    ("told", "is_gone"),
    [
        (state(1, RUNS, ended(JUST_NOW)), True),
        (state(1, RUNS, ended(LONG_AGO)), False),
        (state(0, ended(JUST_NOW)), True),
        (state(0, ended(LONG_AGO)), False),
        (state(5, ended(JUST_NOW), ended(LONG_AGO)), True),
        (state(5, WAITS, ended(JUST_NOW)), True),
        (state(5, WAITS, ended(LONG_AGO)), False),
        (state(1, RUNS, ended(None)), False),
        (state(1, RUNS), False),
        (state(1, RUNS, ended("2026-01-01T00:00:01Z")), True),
        (state(1, RUNS, ended("2026-01-01T00:00:30Z")), False),
    ],
)
def test_the_end_of_a_container_is_told_when_its_next_worker_is_young_for_sure(
    cache: ClusterCache, told: dict[str, Any], is_gone: bool
) -> None:
    cache.put_pod(pod(1, state(0, RUNS)))
    cache.put_pod(pod(2, told))

    assert bool(gone(cache)) is is_gone


def test_the_end_of_a_container_is_not_told_to_who_asks_late(
    cache: ClusterCache, clock: Clock
) -> None:
    cache.put_pod(pod(1, state(0, RUNS)))
    cache.put_pod(pod(2, state(1, RUNS, ended(JUST_NOW))))
    clock.now_s += 1.9
    assert gone(cache)

    clock.now_s += 0.2
    assert not gone(cache)


def test_of_two_workers_the_last_that_ended_counts(cache: ClusterCache) -> None:
    cache.put_pod(pod(1, state(0, RUNS), state(0, RUNS)))
    cache.put_pod(pod(2, state(0, ended(LONG_AGO)), state(0, ended(JUST_NOW))))

    assert gone(cache)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_ended_for_good_is_told_however_late(
    cache: ClusterCache, clock: Clock, phase: str
) -> None:
    cache.put_pod(pod(1, state(0, RUNS)))
    cache.put_pod(pod(2, state(0, ended(LONG_AGO)), phase=phase))
    clock.now_s += 3600

    assert gone(cache)


def test_a_deleted_pod_is_told_though_its_container_ended_once_long_ago(
    cache: ClusterCache, clock: Clock
) -> None:
    cache.put_pod(pod(1, state(3, RUNS, ended(LONG_AGO))))
    cache.drop_pod(("shop", "mail"))
    clock.now_s += 3600

    assert gone(cache)
