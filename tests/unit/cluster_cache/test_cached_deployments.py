"""What the caches make of Deployments: versions, rollouts, rivals, our own writes."""

import asyncio

import pytest
from tests.support.watched import Clock, deployment, pod, wrote

from queueworker_operator.errors import TargetUnavailable
from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.deployment import DeploymentTarget

OURS = "queueworker-operator"


def test_a_deployment_that_is_not_known_is_no_zero(target: DeploymentTarget) -> None:
    assert target.read() is None
    assert target.pods() == ()


def test_an_older_event_changes_nothing(cache: ClusterCache, target: DeploymentTarget) -> None:
    cache.put_deployment(deployment(5, spec={"replicas": 8}))
    cache.put_deployment(deployment(4))
    cache.put_pod(pod("a", 9, ready=True))
    cache.put_pod(pod("a", 8))

    replicas = target.read()

    assert replicas is not None
    assert (replicas.current, replicas.ready) == (8, 1)


def test_pods_of_two_templates_are_a_rollout(cache: ClusterCache, target: DeploymentTarget) -> None:
    cache.put_deployment(deployment(status={"replicas": 4, "updatedReplicas": 1}))

    replicas = target.read()

    assert replicas is not None
    assert replicas.rollout


def test_who_overwrites_us_again_and_again_is_a_rival(cache: ClusterCache, clock: Clock) -> None:
    version = 1
    for _ in range(3):
        assert cache.rival_of(("shop", "mail")) is None
        cache.put_deployment(deployment(version, spec={"replicas": 9}, managers=wrote(OURS)))
        cache.put_deployment(
            deployment(version + 1, spec={"replicas": 1}, managers=wrote("argocd"))
        )
        version += 2

    assert cache.rival_of(("shop", "mail")) == "argocd"
    clock.now_s += 601
    assert cache.rival_of(("shop", "mail")) is None


@pytest.mark.parametrize(
    ("every_s", "back_s"), [(1.0, 600.0), (299.0, 600.0), (600.0, 1200.0), (1800.0, 3600.0)]
)
def test_a_rival_that_comes_seldom_is_left_alone_for_two_of_its_turns(
    cache: ClusterCache, clock: Clock, every_s: float, back_s: float
) -> None:
    for fight in range(3):
        overwritten(cache, 1 + 2 * fight, "flux")
        clock.now_s += every_s if fight < 2 else 0.0

    clock.now_s += back_s - 1
    assert cache.rival_of(("shop", "mail")) == "flux"
    clock.now_s += 1
    assert cache.rival_of(("shop", "mail")) is None
    clock.now_s += every_s
    overwritten(cache, 7, "flux")
    assert cache.rival_of(("shop", "mail")) == ("flux" if every_s < 1000 else None)


def test_who_scales_by_hand_now_and_then_is_no_rival(cache: ClusterCache, clock: Clock) -> None:
    for fight in range(9):
        overwritten(cache, 1 + 2 * fight, "kubectl" if fight % 3 else "argocd")
        assert cache.rival_of(("shop", "mail")) is None
        clock.now_s += 1200.0


def overwritten(cache: ClusterCache, version: int, manager: str) -> None:
    cache.put_deployment(deployment(version, spec={"replicas": 9}, managers=wrote(OURS)))
    cache.put_deployment(deployment(version + 1, spec={"replicas": 1}, managers=wrote(manager)))


def test_our_own_writes_make_no_rival(cache: ClusterCache) -> None:
    for version in range(1, 9):
        cache.put_deployment(deployment(version, spec={"replicas": version}, managers=wrote(OURS)))

    assert cache.rival_of(("shop", "mail")) is None


def test_a_write_shows_at_once_and_an_older_event_does_not_undo_it(
    cache: ClusterCache, target: DeploymentTarget
) -> None:
    cache.put_deployment(deployment(5))
    cache.note_scaled(("shop", "mail"), 9, "7")
    cache.put_deployment(deployment(6))

    replicas = target.read()

    assert replicas is not None
    assert replicas.current == 9


def test_scaling_what_does_not_exist_is_refused(target: DeploymentTarget) -> None:
    with pytest.raises(TargetUnavailable, match="does not exist"):
        asyncio.run(target.scale(3))
