"""What the caches make of pods: sizes, start-up times, and which of them are gone."""

from collections.abc import Callable
from itertools import pairwise
from time import perf_counter
from typing import Any

import pytest
from tests.support.watched import Clock, deployment, pod

from queueworker_operator.decision.model import PodId
from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.deployment import DeploymentTarget
from queueworker_operator.target.objects import requirements_of


def test_ready_starting_and_terminating_pods_are_told_apart(
    cache: ClusterCache, target: DeploymentTarget
) -> None:
    cache.put_deployment(deployment())
    cache.put_pod(pod("ready", ready=True))
    cache.put_pod(pod("starting"))
    cache.put_pod(pod("leaving", ready=True, meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}))
    cache.put_pod(pod("failed", status={"phase": "Failed"}))
    cache.put_pod(pod("foreign", ready=True, meta={"labels": {"app": "other"}}))

    replicas = target.read()

    assert replicas is not None
    assert (replicas.current, replicas.ready, replicas.draining) == (3, 1, 1)
    assert replicas.starting_ages_s == (10.0,)
    assert sorted(pod.name for pod in target.pods()) == ["ready", "starting"]
    assert sorted(pod.name for pod in target.all_pods()) == ["leaving", "ready", "starting"]


def test_a_start_up_is_counted_once_and_only_when_it_was_seen(
    cache: ClusterCache, target: DeploymentTarget, clock: Clock
) -> None:
    cache.put_deployment(deployment())
    cache.put_pod(pod("old", ready=True))
    cache.put_pod(pod("new"), just_created=True)
    clock.now_s += 7.5
    cache.put_pod(pod("new", 2, ready=True))
    cache.put_pod(pod("new", 3, ready=False))
    cache.put_pod(pod("new", 4, ready=True))

    target.read()
    replicas = target.read()

    assert replicas is not None
    assert (replicas.start_up_count, replicas.start_up_sum_s) == (1, 7.5)
    assert replicas.start_up_sq_sum_s2 == 7.5**2


def test_the_stamp_changes_with_the_deployment_and_with_each_of_its_pods_and_with_nothing_else(
    cache: ClusterCache, target: DeploymentTarget
) -> None:
    stamps = [target.stamp()]

    def happen(change: Callable[..., None], *args: object) -> None:
        change(*args)
        stamps.append(target.stamp())

    happen(cache.put_deployment, deployment())
    happen(cache.put_deployment, deployment(version=2, spec={"replicas": 4}))
    happen(cache.put_pod, pod("one"))
    happen(cache.put_pod, pod("one", 2, ready=True))
    happen(cache.put_pod, pod("two"))
    happen(cache.drop_pod, ("shop", "one"))
    happen(cache.drop_pod, ("shop", "two"))
    happen(cache.put_pod, pod("three"))
    assert all(before != after for before, after in pairwise(stamps))

    other = pod("stranger")
    other["metadata"]["labels"] = {"app": "other"}
    cache.put_pod(other)
    assert target.stamp() == stamps[-1]


def test_dead_vanished_and_restarted_pods_are_gone_once(
    cache: ClusterCache, target: DeploymentTarget
) -> None:
    cache.put_deployment(deployment())
    for name in ("failed", "vanished", "restarted", "healthy"):
        cache.put_pod(pod(name, ready=True))
    assert target.take_gone() == ()

    cache.put_pod(pod("failed", 2, status={"phase": "Failed"}))
    cache.drop_pod(("shop", "vanished"))
    cache.put_pod(pod("restarted", 2, status={"containerStatuses": [LIVES_AGAIN]}))

    gone = sorted(target.take_gone(), key=lambda one: one.name)
    names = ("failed", "restarted", "vanished")
    assert gone == [PodId(namespace="shop", name=name, uid=f"uid-{name}") for name in names]
    assert target.take_gone() == ()


def test_a_long_history_of_dead_pods_costs_nothing(
    cache: ClusterCache, target: DeploymentTarget
) -> None:
    cache.put_deployment(deployment())
    for number in range(20_000):
        cache.put_pod(pod(f"old-{number}"))
        cache.drop_pod(("shop", f"old-{number}"))
    target.take_gone()

    began_s = perf_counter()
    for _ in range(10_000):
        assert target.take_gone() == ()
    assert perf_counter() - began_s < 2


def test_a_killed_container_is_gone_before_it_is_restarted(
    cache: ClusterCache, target: DeploymentTarget
) -> None:
    cache.put_deployment(deployment())
    cache.put_pod(pod("killed", ready=True))

    cache.put_pod(pod("killed", 2, status={"containerStatuses": [DEAD]}))
    assert [one.name for one in target.take_gone()] == ["killed"]
    cache.put_pod(pod("killed", 3, status={"containerStatuses": [LIVES_AGAIN]}))

    assert target.take_gone() == ()  # its new worker's lease must not end


JUST_NOW = {"terminated": {"exitCode": 137, "finishedAt": "2026-01-01T00:00:00Z"}}
LIVES = {"restartCount": 0, "state": {"running": {}}}
LIVES_AGAIN = {"restartCount": 1, "state": {"running": {}}, "lastState": JUST_NOW}
DEAD = {"restartCount": 0, "state": JUST_NOW}
BACKS_OFF = {"restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}} | {
    "lastState": JUST_NOW
}
BY_COMMAND = {"command": ["queueworker", "worker", "--app", "tasks:app"]}
BY_ARGS = {"args": ["worker", "--app", "tasks:app"]}
BY_NAME = {"env": [{"name": "QUEUEWORKER_POD_NAME", "valueFrom": {}}]}
BY_SLOTS = {"args": ["--concurrency=4"]}
OTHER = {"command": ["envoy"], "env": [{"name": "QUEUEWORKER_DSN", "value": ""}]}


@pytest.mark.parametrize(
    ("containers", "then", "is_gone"),
    [
        ((BY_COMMAND, OTHER), (LIVES, LIVES_AGAIN), False),
        ((BY_COMMAND, OTHER), (LIVES, DEAD), False),
        ((BY_COMMAND, OTHER), (DEAD, LIVES), True),
        ((BY_ARGS, OTHER), (LIVES_AGAIN, LIVES), True),
        ((BY_NAME, OTHER), (LIVES, LIVES_AGAIN), False),
        ((BY_SLOTS, OTHER), (LIVES, LIVES_AGAIN), False),
        ((BY_SLOTS, OTHER), (LIVES_AGAIN, LIVES), True),
        ((OTHER, OTHER), (LIVES_AGAIN, LIVES_AGAIN), False),
        ((OTHER, OTHER), (DEAD, LIVES), False),
        ((OTHER, OTHER), (DEAD, BACKS_OFF), True),
        ((BY_COMMAND, BY_COMMAND), (DEAD, LIVES), False),
        ((BY_COMMAND, BY_COMMAND), (BACKS_OFF, DEAD), True),
    ],
)
def test_of_several_containers_the_workers_alone_are_gone_when_they_end(
    cache: ClusterCache,
    target: DeploymentTarget,
    containers: tuple[dict[str, Any], dict[str, Any]],
    then: tuple[dict[str, Any], dict[str, Any]],
    is_gone: bool,
) -> None:
    def put(version: int, first: dict[str, Any], second: dict[str, Any]) -> None:
        statuses = [second | {"name": "two"}, first | {"name": "one"}]
        body = pod("mail", version, ready=True, status={"containerStatuses": statuses})
        one, two = containers
        body["spec"] = {"containers": [one | {"name": "one"}, two | {"name": "two"}]}
        cache.put_pod(body)

    cache.put_deployment(deployment())
    put(1, LIVES, LIVES)
    put(2, *then)

    assert bool(target.take_gone()) is is_gone


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({"matchLabels": {"app": "mail"}}, True),
        ({"matchLabels": {"app": "mail", "tier": "x"}}, False),
        (
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["mail", "sms"]}]},
            True,
        ),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["mail"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
        ({}, False),
    ],
)
def test_pods_belong_by_the_deployments_selector(
    cache: ClusterCache, selector: dict[str, Any], matches: bool
) -> None:
    cache.put_pod(pod("a"))

    assert bool(cache.pods_of("shop", requirements_of(selector))) is matches
    assert cache.pods_of("elsewhere", requirements_of(selector)) == []
