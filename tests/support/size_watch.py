"""How large Deployments were, and what QueueWorkers asked for, version by version.

All comes straight from the API server, not by way of a proxy, and nothing is missed: a kind is listed
and then followed from that very version on. A kind that is not there yet is read at the end alone.
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.support.tools import tool_path
from tests.support.waiting import wait_until

DEFINITION = "queueworkers.queueworker.dev"
MANAGER = "queueworker-operator"
NOBODY = ""
"""Who scales to 0 by `/scale` leaves no name: a Scale of 0 has no field `replicas` to own."""
CAUGHT_UP_WITHIN_S = 20.0

Body = Mapping[str, Any]
Take = Callable[[str, Body], None]


class Namespace(Protocol):
    """A namespace of some cluster, and the administrator's way to it."""

    @property
    def namespace(self) -> str: ...
    @property
    def kubeconfig(self) -> Path: ...
    def kubectl(self, *arguments: str) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A Deployment's replicas from one version on. What it was found or made with is nobody's write.

    A write without a name counts as the operator's: it must then have a decision.
    """

    name: str
    at_s: float
    replicas: int
    version: int
    is_write: bool
    writer: str

    @property
    def is_ours(self) -> bool:
        return self.is_write and self.writer in (MANAGER, NOBODY)


class Feed:
    """Gives every version of a namespace's objects of one kind to `take`, with what happened."""

    def __init__(self, place: Namespace, api: str, kind: str, take: Take) -> None:
        self._place, self._take = place, take
        self._path = f"/apis/{api}/namespaces/{place.namespace}/{kind}"
        self._versions: dict[str, int] = {}
        self._kubectl: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    def begin(self) -> None:
        """List, and follow what comes."""
        listed = self._list()
        for body in listed["items"]:
            self._pass_on("ADDED", body)
        since = listed["metadata"]["resourceVersion"]
        watched = f"{self._path}?watch=true&resourceVersion={since}"
        flag = f"--kubeconfig={self._place.kubeconfig}"
        self._kubectl = subprocess.Popen(
            [tool_path("kubectl"), flag, "get", "--raw", watched], stdout=subprocess.PIPE
        )
        self._reader.start()

    @property
    def is_running(self) -> bool:
        return self._kubectl is not None and self._kubectl.poll() is None

    def catch_up(self) -> None:
        """Wait until all that the API server has now was passed on."""
        listed = self._list()["items"]
        if not self.is_running:  # the kind came later, or was deleted: that ends a watch
            for body in listed:
                self._pass_on("MODIFIED", body)
        there = {body["metadata"]["name"]: version_of(body) for body in listed}
        wait_until(
            lambda: all(self._versions.get(name, 0) >= there[name] for name in there),
            within_s=CAUGHT_UP_WITHIN_S,
            what=f"the watch of {self._path} shows what a list does",
            every_s=0.02,
        )

    def stop(self) -> None:
        if self._kubectl is not None:
            self._kubectl.terminate()
            self._kubectl.wait()
            self._reader.join(5)

    def _list(self) -> dict[str, Any]:
        listed: dict[str, Any] = json.loads(self._place.kubectl("get", "--raw", self._path))
        return listed

    def _read(self) -> None:
        assert self._kubectl is not None
        assert self._kubectl.stdout is not None
        with self._kubectl.stdout as lines:
            for line in lines:
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                    self._pass_on(event["type"], event["object"])

    def _pass_on(self, what: str, body: Body) -> None:
        self._take(what, body)
        self._versions[body["metadata"]["name"]] = version_of(body)


class SizeWatch:
    """Follows the replicas of a namespace's Deployments, and its QueueWorkers as they were last."""

    def __init__(self, place: Namespace) -> None:
        self.sizes: list[Size] = []
        self.now: dict[str, int] = {}
        self.queue_workers: dict[str, Body] = {}
        queue_workers = Feed(place, "queueworker.dev/v1alpha1", "queueworkers", self._take_promise)
        deployments = Feed(place, "apps/v1", "deployments", self._take_deployment)
        self._feeds = (queue_workers, deployments)
        if place.kubectl("get", "crd", DEFINITION, "--ignore-not-found", "-o", "name"):
            queue_workers.begin()
        deployments.begin()

    @property
    def is_running(self) -> bool:
        return all(feed.is_running for feed in self._feeds)

    def catch_up(self) -> None:
        """Wait until all that has happened so far was seen."""
        for feed in self._feeds:
            feed.catch_up()

    def stop(self) -> None:
        for feed in self._feeds:
            feed.stop()

    def _take_promise(self, what: str, body: Body) -> None:
        spec = body["spec"]
        if what == "DELETED":
            return  # its writes are judged all the same
        if spec["minReplicas"] <= spec["maxReplicas"]:  # else nothing is written for it
            self.queue_workers[body["metadata"]["name"]] = body

    def _take_deployment(self, what: str, body: Body) -> None:
        name = body["metadata"]["name"]
        if what == "DELETED":
            self.now.pop(name, None)
            return
        replicas = body["spec"]["replicas"]
        if self.now.get(name) != replicas:
            size = Size(
                name=name,
                at_s=time.time(),
                replicas=replicas,
                version=version_of(body),
                is_write=what == "MODIFIED",
                writer=_owner(body),
            )
            self.sizes.append(size)
        self.now[name] = replicas


def version_of(body: Body) -> int:
    return int(body["metadata"]["resourceVersion"])


def _owner(body: Body) -> str:
    """Name who owns `spec.replicas`: the manager that wrote it last."""
    for entry in body["metadata"].get("managedFields", ()):
        if "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {}):
            return str(entry["manager"])
    return NOBODY
