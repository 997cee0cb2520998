"""Pods listed anew where the watch tells of fewer than were asked for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.support.api_proxy import ApiProxy, Fault
from tests.support.controlplane import ApiServer
from tests.support.mail import Place, deployment, pod

from queueworker_operator.errors import TargetUnavailable
from queueworker_operator.kube import Client, api, find_credentials
from queueworker_operator.kube import client as client_module
from queueworker_operator.kube.api import Watched
from queueworker_operator.target import deployment as deployment_module
from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.deployment import DeploymentTarget

Scenario = Callable[[DeploymentTarget, ClusterCache], Awaitable[None]]


@pytest.fixture
def place(api_server: ApiServer, namespace: str) -> Place:
    place = Place(server=api_server, namespace=namespace)
    place.apply(deployment(replicas=3))
    for name in ("worker-a", "worker-b"):
        place.add_pod(pod(name))
    return place


def run(place: Place, scenario: Scenario, server: str | None = None) -> None:
    """Run `scenario` with a target whose caches know the two pods; nobody tells it of more."""
    known = find_credentials({"KUBECONFIG": str(place.kubeconfig)})

    async def body() -> None:
        cache = ClusterCache(time.monotonic, time.time)
        async with Client(known) as client:
            cache.put_deployment(
                await api.get_object(client, Watched.DEPLOYMENTS, place.namespace, "mail-worker")
            )
            async for found in api.list_objects(client, Watched.PODS, place.namespace):
                cache.put_pod(found)
        async with Client(replace(known, server=server or known.server)) as client:
            target = DeploymentTarget(
                cache,
                client,
                namespace=place.namespace,
                name="mail-worker",
                clock=time.monotonic,
            )
            await scenario(target, cache)

    asyncio.run(body())


def names(target: DeploymentTarget) -> list[str]:
    return sorted(pod.name for pod in target.pods())


def test_what_came_and_what_went_unseen_is_known_after_a_look(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PAGE", 2)

    def come_and_go() -> None:
        for name in ("worker-c", "worker-d", "worker-e"):
            place.add_pod(pod(name))
        place.add_pod(pod("other", app="other"))
        place.kubectl("delete", "pod", "worker-a", "--grace-period=0", "--force")

    async def scenario(target: DeploymentTarget, cache: ClusterCache) -> None:
        await asyncio.to_thread(come_and_go)
        assert names(target) == ["worker-a", "worker-b"]
        await target.look()
        assert names(target) == ["worker-b", "worker-c", "worker-d", "worker-e"]
        assert [pod.name for pod in target.take_gone()] == ["worker-a"]
        assert len(cache.uids_of_pods()) == 4

    run(place, scenario)


def test_a_pod_whose_end_is_told_while_they_are_listed_stays_gone(place: Place) -> None:
    with ApiProxy(place.server) as proxy:

        async def scenario(target: DeploymentTarget, cache: ClusterCache) -> None:
            proxy.fault = Fault(
                matches=lambda seen: seen.path.endswith("/pods"),
                after=lambda: cache.drop_pod((place.namespace, "worker-a")),
            )
            await target.look()
            assert names(target) == ["worker-b"]

        run(place, scenario, proxy.url)


def test_pods_that_cannot_be_listed_in_time_are_no_answer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment_module, "LOOK_WITHIN_S", 0.5)
    with ApiProxy(place.server) as proxy:

        async def scenario(target: DeploymentTarget, _: ClusterCache) -> None:
            proxy.fault = Fault(matches=lambda seen: seen.path.endswith("/pods"), hangs=True)
            with pytest.raises(TargetUnavailable, match="were not listed within"):
                await target.look()
            proxy.fault = Fault(matches=lambda seen: seen.path.endswith("/pods"), status=429)
            with pytest.raises(TargetUnavailable, match="HTTP 429"):
                await target.look()

        run(place, scenario, proxy.url)
