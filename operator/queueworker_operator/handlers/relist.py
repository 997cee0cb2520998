"""List the three kinds ourselves: at the start, after kopf listed anew, every few minutes.

kopf tells nothing about objects that vanished while a watch stream was broken. A list of our own
finds them, and says in one line what is missing when the operator starts.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from queueworker_operator.errors import ObjectMissing, OperatorError
from queueworker_operator.handlers.roster import Roster
from queueworker_operator.kube import Client, api
from queueworker_operator.kube.api import Watched
from queueworker_operator.target.cache import ClusterCache, Key
from queueworker_operator.target.cache import key_of as place_of

logger = logging.getLogger(__name__)

EVERY_S = 300.0
FIRST_S = 10.0
SETTLE_S = 1.0
Listing = Callable[[Client, Watched, str | None], AsyncIterator[dict[str, Any]]]
NO_KIND = (
    "the cluster does not know the kind QueueWorker: install the chart, "
    "or kubectl apply -f crds/queueworkers.queueworker.dev.yaml"
)


class Relisting:
    """Compares the caches with the cluster.

    Args:
        client: The API server.
        roster: The QueueWorkers.
        cache: Deployments and pods.
        namespaces: Where to look; None is everywhere.
        wake: Called when QueueWorkers changed.
    """

    def __init__(
        self,
        client: Client,
        roster: Roster,
        cache: ClusterCache,
        *,
        namespaces: tuple[str | None, ...],
        wake: Callable[[], None],
    ) -> None:
        self._client = client
        self._roster = roster
        self._cache = cache
        self._namespaces = namespaces
        self._wake = wake
        self._listed_anew = asyncio.Event()

    def saw(self, event_type: str | None) -> None:
        """Note an event; one without a type comes from a list of kopf's."""
        if event_type is None:
            self._listed_anew.set()

    async def fill(self) -> None:
        """List everything once, before the watch streams run.

        Raises:
            ObjectMissing: the CRD is not installed.
            AccessDenied: a right is missing.
            ClusterUnavailable: the API server does not answer.
        """
        for kind in Watched:
            async for body in self._list(kind, api.list_objects):
                self._put(kind, body)

    async def is_kind_missing(self) -> bool:
        """Tell whether the cluster does not know the kind QueueWorker (any more)."""
        try:
            async for _ in self._list(Watched.QUEUE_WORKERS, api.list_metadata):
                pass
        except ObjectMissing:
            return True
        return False

    async def prune(self) -> None:
        """Drop what is gone. What is there is told by the streams: a list may be older than they."""
        for kind in Watched:
            before = self._known(kind)
            listed = {place_of(body) async for body in self._list(kind, api.list_metadata)}
            for place in before.keys() - listed:
                self._drop(kind, place, before[place])

    async def run(self) -> None:
        """List again when there is reason to, until cancelled."""
        pause_s = FIRST_S
        while True:
            try:
                async with asyncio.timeout(pause_s):
                    await self._listed_anew.wait()
                    await self._all_told()
            except TimeoutError:
                logger.debug("time to compare the caches with the cluster")
            pause_s = EVERY_S
            self._listed_anew.clear()
            try:
                await self.prune()
            except OperatorError as exc:
                logger.warning("the caches are not compared with the cluster: %s", exc)

    async def _all_told(self) -> None:
        """Wait until kopf has told all that it listed: thousands of objects take it minutes."""
        while self._listed_anew.is_set():
            self._listed_anew.clear()
            await asyncio.sleep(SETTLE_S)

    async def _list(self, kind: Watched, listing: Listing) -> AsyncIterator[dict[str, Any]]:
        for namespace in self._namespaces:
            try:
                async for body in listing(self._client, kind, namespace):
                    yield body
            except ObjectMissing as exc:
                raise ObjectMissing(NO_KIND) from exc

    def _known(self, kind: Watched) -> Mapping[Key, str]:
        """Name what is known, each with its UID."""
        match kind:
            case Watched.QUEUE_WORKERS:
                members = self._roster.members()
                return {(key.split("/")[0], key.split("/")[1]): known.uid for key, known in members}
            case Watched.DEPLOYMENTS:
                return self._cache.uids_of_deployments()
            case Watched.PODS:
                return self._cache.uids_of_pods()

    def _put(self, kind: Watched, body: dict[str, Any]) -> None:
        match kind:
            case Watched.QUEUE_WORKERS:
                if self._roster.put(body):
                    self._wake()
            case Watched.DEPLOYMENTS:
                self._cache.put_deployment(body)
            case Watched.PODS:
                self._cache.put_pod(body)

    def _drop(self, kind: Watched, place: Key, uid: str) -> None:
        """Forget what was not listed, but not what was made anew meanwhile: it has another UID."""
        match kind:
            case Watched.QUEUE_WORKERS:
                if self._roster.drop("/".join(place), uid):
                    self._wake()
            case Watched.DEPLOYMENTS:
                self._cache.drop_deployment(place, uid)
            case Watched.PODS:
                self._cache.drop_pod(place, uid)
