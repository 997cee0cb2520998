"""Which victims count as marked: a ReplicaSet ends any other pod in place of one that is not."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.api_proxy import ApiProxy, Fault, Seen
from tests.support.controlplane import ApiServer
from tests.support.mail import Place, deployment, pod

from queueworker_operator.errors import TargetUnavailable
from queueworker_operator.kube import Client, api, find_credentials
from queueworker_operator.kube.api import DELETION_COST, Watched
from queueworker_operator.target import marks as marks_module
from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.deployment import DeploymentTarget

Scenario = Callable[[DeploymentTarget, ApiProxy], Awaitable[None]]
DEADLINE_S = 1.0
SLOW_S = 0.4


@pytest.fixture
def place(api_server: ApiServer, namespace: str) -> Place:
    place = Place(server=api_server, namespace=namespace)
    place.apply(deployment(replicas=3), *map(pod, ("worker-a", "worker-b", "worker-c")))
    return place


def run(place: Place, scenario: Scenario) -> None:
    """Run `scenario` with a target that knows the pods, behind a proxy, with short deadlines."""
    known = find_credentials({"KUBECONFIG": str(place.kubeconfig)})

    async def body(proxy: ApiProxy) -> None:
        cache = ClusterCache(time.monotonic, time.time)
        async with Client(replace(known, server=proxy.url), deadline_s=DEADLINE_S) as client:
            cache.put_deployment(
                await api.get_object(client, Watched.DEPLOYMENTS, place.namespace, "mail-worker")
            )
            async for found in api.list_objects(client, Watched.PODS, place.namespace):
                cache.put_pod(found)
            where: dict[str, Any] = {"namespace": place.namespace, "name": "mail-worker"}
            await scenario(DeploymentTarget(cache, client, clock=time.monotonic, **where), proxy)

    with ApiProxy(place.server) as proxy:
        asyncio.run(body(proxy))


def marks(seen: Seen) -> bool:
    return seen.method == "PATCH" and "/pods/" in seen.path


def marks_of(name: str) -> Callable[[Seen], bool]:
    return lambda seen: marks(seen) and seen.path.endswith(f"/{name}")


def names(target: DeploymentTarget) -> list[str]:
    return sorted(pod.name for pod in target.pods())


def many(place: Place, count: int) -> list[str]:
    found = [f"many-{number:02}" for number in range(count)]
    place.apply(*map(pod, found))
    return found


def test_a_victim_that_the_api_server_did_not_take_the_mark_of_is_not_given(place: Place) -> None:
    async def scenario(target: DeploymentTarget, proxy: ApiProxy) -> None:
        proxy.fault = Fault(matches=marks_of("worker-a"), status=500)
        assert await target.prefer(["worker-a", "worker-b"]) == {"worker-b"}
        with pytest.raises(TargetUnavailable, match="HTTP 500"):
            await target.prefer(["worker-a"])

    run(place, scenario)


def test_without_the_right_to_mark_victims_go_unmarked(place: Place) -> None:
    async def scenario(target: DeploymentTarget, proxy: ApiProxy) -> None:
        proxy.fault = Fault(matches=marks, status=403)
        assert await target.prefer(["worker-a", "worker-b"]) == {"worker-a", "worker-b"}

    run(place, scenario)


def test_victims_that_went_unseen_are_not_given_and_no_longer_known(place: Place) -> None:
    kept = pod("worker-d")
    kept["metadata"]["finalizers"] = ["example.org/kept"]
    place.apply(kept)

    async def scenario(target: DeploymentTarget, _: ApiProxy) -> None:
        everybody = names(target)
        await target.prefer(["worker-a", "worker-d"])
        going = ("worker-a", "worker-d", "--grace-period=0", "--force", "--wait=false")
        await asyncio.to_thread(place.kubectl, "delete", "pod", *going)
        assert names(target) == everybody
        assert await target.prefer([*everybody]) == {"worker-b", "worker-c"}
        assert names(target) == ["worker-b", "worker-c"]

    run(place, scenario)
    place.kubectl("patch", "pod", "worker-d", "-p", '{"metadata":{"finalizers":null}}')


def test_nobody_goes_while_a_pod_that_stayed_cannot_lose_its_mark(place: Place) -> None:
    async def scenario(target: DeploymentTarget, proxy: ApiProxy) -> None:
        await target.prefer(["worker-a"])
        proxy.fault = Fault(matches=marks_of("worker-a"), status=500, times=1)
        with pytest.raises(TargetUnavailable, match="HTTP 500"):
            await target.prefer(["worker-b"])
        assert await target.prefer(["worker-b"]) == {"worker-b"}

    run(place, scenario)

    assert DELETION_COST not in place.get("pod", "worker-a")["metadata"]["annotations"]


def test_a_pod_that_leaves_keeps_its_mark(place: Place) -> None:
    async def scenario(target: DeploymentTarget, _: ApiProxy) -> None:
        await target.prefer(["worker-a"])
        assert await target.prefer(["worker-b"], ["worker-a"]) == {"worker-b"}

    run(place, scenario)

    assert DELETION_COST in place.get("pod", "worker-a")["metadata"]["annotations"]


def test_a_deadline_begins_when_a_mark_is_sent_not_when_it_queues(place: Place) -> None:
    victims = many(place, 70)

    async def scenario(target: DeploymentTarget, proxy: ApiProxy) -> None:
        proxy.fault = Fault(matches=marks, delay_s=SLOW_S)
        began_s = time.monotonic()
        assert await target.prefer(victims) == set(victims)
        assert time.monotonic() - began_s > DEADLINE_S

    run(place, scenario)


def test_what_cannot_be_marked_in_time_comes_in_the_next_step(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks_module, "BEGIN_WITHIN_S", SLOW_S / 2)
    victims = many(place, 40)

    async def scenario(target: DeploymentTarget, proxy: ApiProxy) -> None:
        proxy.fault = Fault(matches=marks, delay_s=SLOW_S)
        first = await target.prefer(victims)
        assert 0 < len(first) < len(victims)
        rest = [name for name in victims if name not in first]
        second = await target.prefer(rest, list(first))
        assert second
        assert first.isdisjoint(second)  # type: ignore[attr-defined]

    run(place, scenario)
