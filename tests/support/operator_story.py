"""What operators wrote in a namespace, collected for the checker: sizes, decisions, bounds."""

import json
import subprocess
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
from tests.support.history.operator import Broken, Recorded, Story, Write, check
from tests.support.postgres import Connection
from tests.support.tools import tool_path

from queueworker_operator.controller.record import replay

MANAGER = "queueworker-operator"
DECISIONS = "SELECT extract(epoch FROM decided_at)::float8, name, record FROM queueworker.decision ORDER BY id"


class Namespace(Protocol):
    """A namespace of some cluster, and the administrator's way to it."""

    @property
    def namespace(self) -> str: ...
    @property
    def kubeconfig(self) -> Path: ...
    def kubectl(self, *arguments: str) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A Deployment's replicas from one version on. What it was found or made with is nobody's write."""

    name: str
    at_s: float
    replicas: int
    version: int
    is_ours: bool


class SizeWatch:
    """Follows the replicas of all Deployments of a namespace, not by way of a proxy."""

    def __init__(self, place: Namespace) -> None:
        self.sizes: list[Size] = []
        self.now: dict[str, int] = {}
        path = f"/apis/apps/v1/namespaces/{place.namespace}/deployments?watch=true"
        self._kubectl = subprocess.Popen(
            [tool_path("kubectl"), f"--kubeconfig={place.kubeconfig}", "get", "--raw", path],
            stdout=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def stop(self) -> None:
        self._kubectl.terminate()
        self._kubectl.wait()
        self._reader.join(5)

    def _read(self) -> None:
        assert self._kubectl.stdout is not None
        with self._kubectl.stdout as lines:
            for line in lines:
                self._take(json.loads(line))

    def _take(self, event: Mapping[str, Any]) -> None:
        body = event["object"]
        if event["type"] == "DELETED":
            self.now.pop(body["metadata"]["name"], None)
        elif event["type"] in ("ADDED", "MODIFIED"):
            name, replicas = body["metadata"]["name"], body["spec"]["replicas"]
            if self.now.get(name) != replicas:
                size = Size(
                    name=name,
                    at_s=time.time(),
                    replicas=replicas,
                    version=int(body["metadata"]["resourceVersion"]),
                    is_ours=event["type"] == "MODIFIED" and _owner(body) == MANAGER,
                )
                self.sizes.append(size)
            self.now[name] = replicas


def _owner(body: Mapping[str, Any]) -> str:
    """Name who owns `spec.replicas`: the manager that wrote it last."""
    for entry in body["metadata"].get("managedFields", ()):
        if "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {}):
            return str(entry["manager"])
    return ""


def written(place: Namespace, sizes: SizeWatch) -> list[Write]:
    """Give the operators' writes as the watch showed them."""
    before: dict[str, int] = {}
    found = []
    for size in tuple(sizes.sizes):
        if size.is_ours:
            found.append(
                Write(
                    target=f"{place.namespace}/{size.name}",
                    at_s=size.at_s,
                    before=before.get(size.name, 0),
                    replicas=size.replicas,
                    version=size.version,
                )
            )
        before[size.name] = size.replicas
    return found


def story(
    place: Namespace, conns: Collection[Connection], writes: Collection[Write], **more: Any
) -> Story:
    """Put the writes beside what the databases have recorded and the resources allow."""
    listed = json.loads(place.kubectl("get", "queueworkers", "-o", "json"))["items"]
    targets: dict[str, str] = {}
    bounds: dict[str, tuple[int, int]] = {}
    for body in listed:
        spec, key = body["spec"], f"{place.namespace}/{body['metadata']['name']}"
        target = targets[key] = f"{place.namespace}/{spec['scaleTargetRef']['name']}"
        least, most = bounds.get(target, (spec["minReplicas"], spec["maxReplicas"]))
        bounds[target] = (min(least, spec["minReplicas"]), max(most, spec["maxReplicas"]))
    decisions = [
        Recorded(target=targets[key], at_s=at_s, record=record)
        for conn in conns
        for at_s, key, record in conn.execute(DECISIONS)
        if key in targets
    ]
    known = [write for write in writes if write.target in bounds]
    return Story(**({"writes": known, "decisions": decisions, "bounds": bounds} | more))


def broken(told: Story) -> list[Broken]:
    """Give the promises of O1 to O7 that were broken."""
    return check(told, lambda record: replay(record).desired)


@contextmanager
def judged(
    place: Namespace, databases: Callable[[], Collection[Connection]]
) -> Iterator[SizeWatch]:
    """Hold all that operators write in a namespace during a block to O1 to O7, at its end.

    `databases` are asked for then: those that may hold the decisions.
    """
    sizes = SizeWatch(place)
    try:
        yield sizes
    finally:
        sizes.stop()
    found = broken(story(place, databases(), written(place, sizes)))
    assert found == [], found


@contextmanager
def judged_by_its_secrets(place: Namespace) -> Iterator[SizeWatch]:
    """Do so with the databases that the namespace's Secrets lead to; some may be away."""
    with ExitStack() as opened, judged(place, lambda: _connected(place, opened)) as sizes:
        yield sizes


def _connected(place: Namespace, opened: ExitStack) -> list[Connection]:
    listed = json.loads(place.kubectl("get", "secrets", "-o", "json"))["items"]
    keys = {b64decode(text).decode() for body in listed for text in body.get("data", {}).values()}
    conns: list[Connection] = []
    for dsn in sorted(keys):
        with suppress(psycopg.Error):  # what was decided from it cannot be found: O7 is broken
            conns.append(
                opened.enter_context(psycopg.connect(dsn, autocommit=True, connect_timeout=3))
            )
    return conns
