"""The writes to a Deployment: only on what was read, and nothing else than `/scale`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.controlplane import ApiServer
from tests.support.mail import Place, deployment, pod

from queueworker_operator.errors import TargetConflict, TargetUnavailable
from queueworker_operator.kube import Client, Credentials, api, find_credentials
from queueworker_operator.kube import client as client_module
from queueworker_operator.kube.api import DELETION_COST, Watched
from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.deployment import DeploymentTarget

Scenario = Callable[[DeploymentTarget], Awaitable[None]]


@pytest.fixture
def place(api_server: ApiServer, namespace: str) -> Place:
    return Place(server=api_server, namespace=namespace)


def run(place: Place, scenario: Scenario, credentials: Credentials | None = None) -> None:
    """Run `scenario` with a target whose caches show the cluster as it is now."""
    known = credentials or find_credentials({"KUBECONFIG": str(place.server.kubeconfig)})

    async def body() -> None:
        cache = ClusterCache(time.monotonic, time.time)
        async with Client(known) as client:
            await fill(cache, place)
            target = DeploymentTarget(
                cache, client, namespace=place.namespace, name="mail-worker", clock=time.monotonic
            )
            await scenario(target)

    asyncio.run(body())


async def fill(cache: ClusterCache, place: Place) -> None:
    admin = find_credentials({"KUBECONFIG": str(place.server.kubeconfig)})
    async with Client(admin) as client:
        async for body in api.list_objects(client, Watched.DEPLOYMENTS, place.namespace):
            cache.put_deployment(body)
        async for body in api.list_objects(client, Watched.PODS, place.namespace):
            cache.put_pod(body)


def test_who_is_there_is_listed_in_pages_without_specs(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PAGE", 2)
    names = [f"worker-{number}" for number in range(5)]
    place.apply(*map(deployment, names))
    admin = find_credentials({"KUBECONFIG": str(place.server.kubeconfig)})

    async def listed() -> list[dict[str, Any]]:
        async with Client(admin) as client:
            found = api.list_metadata(client, Watched.DEPLOYMENTS, place.namespace)
            return [body async for body in found]

    bodies = asyncio.run(listed())

    assert {body["metadata"]["name"] for body in bodies} >= set(names)
    assert not any("spec" in body for body in bodies)


def test_scaling_changes_the_replicas_and_shows_at_once(place: Place) -> None:
    place.apply(deployment(replicas=2))

    async def scenario(target: DeploymentTarget) -> None:
        assert target.read() is not None
        await target.scale(7)
        after = target.read()
        assert after is not None
        assert after.current == 7

    run(place, scenario)

    shown = place.kubectl(
        *("get", "deployment", "mail-worker", "--show-managed-fields"),
        *("-o", "jsonpath={.metadata.managedFields[*].manager}"),
    )
    assert place.replicas() == 7
    assert "queueworker-operator" in shown.split()


def test_replicas_changed_by_somebody_else_are_a_conflict(place: Place) -> None:
    place.apply(deployment(replicas=2))

    async def scenario(target: DeploymentTarget) -> None:
        target.read()
        scale = ("scale", "deployment/mail-worker", "--replicas=4")
        await asyncio.to_thread(place.kubectl, *scale)
        with pytest.raises(TargetConflict, match="changed meanwhile"):
            await target.scale(7)

    run(place, scenario)

    assert place.replicas() == 4


def test_a_new_version_with_the_same_replicas_is_no_conflict(place: Place) -> None:
    place.apply(deployment(replicas=2))

    async def scenario(target: DeploymentTarget) -> None:
        target.read()
        await asyncio.to_thread(place.kubectl, "label", "deployment/mail-worker", "touched=yes")
        await target.scale(7)

    run(place, scenario)

    assert place.replicas() == 7


def test_a_deployment_deleted_meanwhile_is_told(place: Place) -> None:
    place.apply(deployment(replicas=2))

    async def scenario(target: DeploymentTarget) -> None:
        target.read()
        await asyncio.to_thread(place.kubectl, "delete", "deployment", "mail-worker")
        with pytest.raises(TargetUnavailable, match="not found"):
            await target.scale(7)

    run(place, scenario)


def test_a_missing_right_is_named(place: Place) -> None:
    place.apply(deployment(replicas=2))
    place.kubectl("create", "serviceaccount", "weak")
    token = place.kubectl("create", "token", "weak").strip()
    weak = Credentials(
        server=place.server.url, ca=place.server.certificate.read_text(), token=token
    )

    async def scenario(target: DeploymentTarget) -> None:
        target.read()
        with pytest.raises(TargetUnavailable, match="not allowed to patch deployments/scale"):
            await target.scale(7)

    run(place, scenario, weak)

    assert place.replicas() == 2


def test_victims_are_marked_once_and_the_others_are_not(place: Place) -> None:
    place.apply(deployment(replicas=2))
    place.add_pod(pod("mail-worker-a"))
    place.add_pod(pod("mail-worker-b"))
    versions: list[str] = []

    async def scenario(target: DeploymentTarget) -> None:
        for _ in range(2):
            await target.prefer(["mail-worker-a", "vanished"])
            body = await asyncio.to_thread(place.get, "pod", "mail-worker-a")
            versions.append(body["metadata"]["resourceVersion"])

    run(place, scenario)

    victim = place.get("pod", "mail-worker-a")["metadata"]
    assert int(victim["annotations"][DELETION_COST]) < 0
    assert versions[0] == versions[1]
    assert DELETION_COST not in place.get("pod", "mail-worker-b")["metadata"].get("annotations", {})


def test_a_victim_that_stayed_is_no_longer_marked_when_others_go(place: Place) -> None:
    place.apply(deployment(replicas=3))
    for name in ("mail-worker-a", "mail-worker-b"):
        place.add_pod(pod(name))

    async def earlier(target: DeploymentTarget) -> None:
        await target.prefer(["mail-worker-a"])

    async def later(target: DeploymentTarget) -> None:
        await target.prefer(["mail-worker-b"])

    run(place, earlier)
    run(place, later)

    assert DELETION_COST not in place.get("pod", "mail-worker-a")["metadata"]["annotations"]
    assert DELETION_COST in place.get("pod", "mail-worker-b")["metadata"]["annotations"]


def test_pods_as_the_api_server_has_them_are_counted(place: Place) -> None:
    place.apply(deployment(replicas=2))
    place.add_pod(pod("mail-worker-a"))
    place.add_pod(pod("mail-worker-b", ready=False))
    place.add_pod(pod("other-a", app="other"))

    async def scenario(target: DeploymentTarget) -> None:
        replicas = target.read()
        assert replicas is not None
        assert (replicas.current, replicas.ready) == (2, 1)
        assert len(replicas.starting_ages_s) == 1
        assert 0 <= replicas.starting_ages_s[0] < 30
        assert target.grace_s() == 40

    run(place, scenario)


def test_an_api_server_that_does_not_answer_is_unavailable_within_the_deadline(
    place: Place,
) -> None:
    place.apply(deployment(replicas=2))
    nobody = Credentials(server="https://127.0.0.1:9", token="x")
    started_s = time.monotonic()

    async def scenario(target: DeploymentTarget) -> None:
        target.read()
        with pytest.raises(TargetUnavailable, match="does not answer"):
            await target.scale(7)

    run(place, scenario, nobody)

    assert time.monotonic() - started_s < 6
