"""Who compares the caches with the cluster drops what is gone, and nothing that came meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.support.controlplane import ApiServer
from tests.support.mail import Place, deployment, pod, queue_worker

from queueworker.compat import override
from queueworker_operator.handlers.others import Others
from queueworker_operator.handlers.relist import Listing, Relisting
from queueworker_operator.handlers.roster import Roster
from queueworker_operator.handlers.watch import Feed
from queueworker_operator.kube import Client, api, find_credentials
from queueworker_operator.kube.api import Watched
from queueworker_operator.target.cache import ClusterCache

OBJECTS = {
    Watched.QUEUE_WORKERS: ("queueworker/mail", queue_worker()),
    Watched.DEPLOYMENTS: ("deployment/mail-worker", deployment()),
    Watched.PODS: ("pod/mail-1", pod("mail-1")),
}
STREAMS = {
    Watched.QUEUE_WORKERS: Feed.on_queue_worker,
    Watched.DEPLOYMENTS: Feed.on_deployment,
    Watched.PODS: Feed.on_pod,
}


class Slow(Relisting):
    """Lets something happen after the cluster has listed who is there."""

    listed: Callable[[Watched], Awaitable[None]]

    @override
    async def _list(self, kind: Watched, listing: Listing) -> AsyncIterator[dict[str, Any]]:
        async for body in super()._list(kind, listing):
            yield body
        if listing is api.list_metadata:
            await self.listed(kind)


@pytest.fixture
def place(crd: ApiServer, namespace: str) -> Place:
    return Place(server=crd, namespace=namespace)


def known(place: Place, *, made_anew: bool) -> dict[Watched, list[Any]]:
    """Compare the caches after all was deleted; give what they know then.

    What is made anew is so between the list and its use, and the streams tell it.
    """
    roster, cache = Roster(), ClusterCache(time.monotonic, time.time)

    async def scene() -> None:
        async with Client(find_credentials({"KUBECONFIG": str(place.kubeconfig)})) as client:
            relisting = Slow(
                client, roster, cache, namespaces=(place.namespace,), wake=lambda: None
            )
            others = Others(place.namespace, clock=time.monotonic, warn=lambda *_: None)
            feed = Feed(roster, cache, relisting, lambda: None, others)

            async def listed(kind: Watched) -> None:
                if made_anew:
                    place.apply(OBJECTS[kind][1])
                async for body in api.list_objects(client, kind, place.namespace):
                    await STREAMS[kind](feed, {"type": "ADDED", "object": body})

            relisting.listed = listed
            await relisting.fill()
            names = [name for name, _ in OBJECTS.values()]
            place.kubectl("delete", *names, "--grace-period=0", "--force")
            await relisting.prune()

    place.apply(*(body for _, body in OBJECTS.values()))
    asyncio.run(scene())
    return {
        Watched.QUEUE_WORKERS: list(roster.names()),
        Watched.DEPLOYMENTS: list(cache.uids_of_deployments()),
        Watched.PODS: list(cache.uids_of_pods()),
    }


def test_what_is_gone_is_dropped(place: Place) -> None:
    assert known(place, made_anew=False) == {kind: [] for kind in Watched}


def test_what_was_made_anew_while_the_cluster_was_listed_stays(place: Place) -> None:
    assert known(place, made_anew=True) == {
        Watched.QUEUE_WORKERS: [f"{place.namespace}/mail"],
        Watched.DEPLOYMENTS: [(place.namespace, "mail-worker")],
        Watched.PODS: [(place.namespace, "mail-1")],
    }
