"""The glue to kopf: three watch streams fill the caches. kopf decides and writes nothing."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import kopf

from queueworker_operator.errors import ClusterUnavailable, InvalidSettings
from queueworker_operator.handlers.others import Others
from queueworker_operator.handlers.relist import Relisting
from queueworker_operator.handlers.roster import Roster
from queueworker_operator.kube import Credentials
from queueworker_operator.resource import GROUP, PLURAL, VERSION, key_of
from queueworker_operator.target.cache import ClusterCache
from queueworker_operator.target.cache import key_of as place_of

Body = Mapping[str, Any]


class Feed:
    """Takes the events of the three streams into the caches.

    kopf orders events by uid, not by name: the end of an object may come after its successor.
    """

    def __init__(
        self,
        roster: Roster,
        cache: ClusterCache,
        relisting: Relisting,
        wake: Callable[[], None],
        others: Others,
    ) -> None:
        self._roster = roster
        self._cache = cache
        self._relisting = relisting
        self._wake = wake
        self._others = others

    async def on_queue_worker(self, event: Any, **_: Any) -> None:
        """Take a QueueWorker's event."""
        body = event["object"]
        self._relisting.saw(event["type"])
        if is_deletion(event):
            changed = self._roster.drop(key_of(body), uid_of(body))
            self._others.forget(body)
        else:
            changed = self._roster.put(body)
            self._others.saw(body)
        if changed:
            self._wake()

    async def on_deployment(self, event: Any, **_: Any) -> None:
        """Take a Deployment's event."""
        body = event["object"]
        self._relisting.saw(event["type"])
        place = place_of(body)
        before = self._view(place)
        if is_deletion(event):
            self._cache.drop_deployment(place, uid_of(body))
        else:
            self._cache.put_deployment(body)
        if before != self._view(place):
            self._wake()

    def _view(self, place: tuple[str, str]) -> tuple[bool, int | None, str | None]:
        """Give what the dispatcher takes from a Deployment: is it there, its slots, its rival."""
        deployment = self._cache.deployment(*place)
        slots = deployment.slots if deployment else None
        return deployment is not None, slots, self._cache.rival_of(place)

    async def on_pod(self, event: Any, **_: Any) -> None:
        """Take a pod's event."""
        body = event["object"]
        self._relisting.saw(event["type"])
        if is_deletion(event):
            self._cache.drop_pod(place_of(body), uid_of(body))
        else:
            self._cache.put_pod(body, just_created=event["type"] == "ADDED")


def register(feed: Feed, credentials: Credentials) -> kopf.OperatorRegistry:
    """Build the registry: one login, three event handlers."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return connection_of(credentials)

    kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(feed.on_queue_worker)
    kopf.on.event("apps", "v1", "deployments", registry=registry)(feed.on_deployment)
    kopf.on.event("", "v1", "pods", registry=registry)(feed.on_pod)
    return registry


def is_deletion(event: Body) -> bool:
    """Tell whether the object is gone (not merely asked to go)."""
    return bool(event["type"] == "DELETED")


def uid_of(body: Body) -> str:
    """Tell an object from others of its name."""
    return str(body["metadata"].get("uid", ""))


def check_watchable(credentials: Credentials) -> None:
    """Refuse what kopf's watches could not do as our own calls do.

    Raises:
        InvalidSettings: names what it is.
    """
    if credentials.acts_as:
        raise InvalidSettings(
            f"the kubeconfig's user acts as {credentials.acts_as[0][1]} (as), which the operator cannot:"
            " give it a kubeconfig of its own service account (kubectl create token)"
        )
    if credentials.server_name:
        raise InvalidSettings(
            "the kubeconfig has a tls-server-name, which the operator cannot check: "
            f"let its server be the address {credentials.server_name}"
        )


def connection_of(credentials: Credentials) -> kopf.ConnectionInfo:
    """Give kopf our own credentials; it asks again when they are refused."""
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_data=credentials.ca,
        insecure=credentials.insecure or None,
        token=credentials.bearer(),
        certificate_data=credentials.certificate,
        private_key_data=credentials.private_key,
        proxy_url=credentials.proxy,
        default_namespace=credentials.namespace,
    )


def watch_settings() -> kopf.OperatorSettings:
    """Give kopf's settings: short requests, small pages, no writes of its own."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.scanning.disabled = True
    # The end of kopf is not ours: without the kind QueueWorker we wait, and begin anew.
    settings.process.ultimate_exiting_timeout = None
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 5
    settings.networking.request_timeout = 15
    settings.networking.connect_timeout = 5
    settings.queueing.worker_limit = 50
    # A worker idles this long for the next event of its object while it keeps its slot.
    settings.queueing.idle_timeout = 0.02
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the watch tells, and what ends it."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


async def watch(
    registry: kopf.OperatorRegistry, namespaces: tuple[str | None, ...], flags: Flags
) -> None:
    """Run the watch streams until `flags.stop`.

    Raises:
        ClusterUnavailable: kopf gave up, for instance because a right was taken away.
    """
    everywhere = None in namespaces
    running = kopf.operator(
        registry=registry,
        settings=watch_settings(),
        standalone=True,
        clusterwide=everywhere,
        namespaces=() if everywhere else [name for name in namespaces if name is not None],
        ready_flag=flags.started,
        stop_flag=flags.stop,
    )
    try:
        await running
    except Exception as exc:
        raise ClusterUnavailable(f"the watch of the cluster broke off: {exc!r:.300}") from exc
