"""A real API server for operator benchmarks: objects by the thousand, a watch, counted writes."""

import asyncio
import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.controlplane import ApiServer, run_api_server

from benchmarks.errors import NotCompleted
from benchmarks.machine import ROOT
from queueworker_operator.kube import Client, find_credentials
from queueworker_operator.kube.client import Call

CRD = ROOT / "crds" / "queueworkers.queueworker.dev.yaml"
NAMESPACE, AT_ONCE = "bench", 16
WRITES = ("POST", "PUT", "PATCH", "APPLY")
OURS = ("queueworkers", "deployments", "events", "pods", "leases")
PATHS = {
    "Secret": "api/v1/namespaces/{}/secrets",
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "QueueWorker": "apis/queueworker.dev/v1alpha1/namespaces/{}/queueworkers",
}

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """One change of a Deployment's `spec.replicas`, and when the watch told (monotonic)."""

    name: str
    replicas: int
    at_s: float


@dataclass(slots=True)
class Cluster:
    """A running API server with the QueueWorker definition and one namespace.

    `changes` grows while a `watched` block runs.
    """

    server: ApiServer
    changes: list[Scaled] = field(default_factory=list)
    namespace: str = NAMESPACE

    @property
    def kubeconfig(self) -> Path:
        """Give the administrator's credentials."""
        return self.server.kubeconfig

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl as the administrator."""
        return self.server.kubectl(*arguments)

    def create(self, bodies: Iterable[Body]) -> None:
        """Create objects, some at once."""
        asyncio.run(self._create(list(bodies)))

    def writes(self) -> dict[str, int]:
        """Count the writes that the API server has answered, by resource."""
        counted = dict.fromkeys(OURS, 0)
        for line in self.server.kubectl("get", "--raw", "/metrics").splitlines():
            if line.startswith("apiserver_request_total{"):
                labels, _, value = line.partition("} ")
                resource = labels.split('resource="')[1].split('"')[0]
                if resource in counted and labels.split('verb="')[1].split('"')[0] in WRITES:
                    counted[resource] += int(float(value))
        return counted

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Follow the replicas of all Deployments until the block ends."""
        stop = threading.Event()
        follower = threading.Thread(target=self._follow, args=(stop,), daemon=True)
        follower.start()
        try:
            yield
        finally:
            stop.set()
            follower.join(10)

    def await_replicas(self, name: str, count: int, within_s: float) -> float:
        """Wait until a Deployment is asked for `count`; give when the watch told (monotonic)."""
        ends_s, place = time.monotonic() + within_s, 0
        while time.monotonic() < ends_s:
            for change in self.changes[place:]:
                if change.name == name and change.replicas == count:
                    return change.at_s
            place = max(0, len(self.changes) - 1)
            time.sleep(0.005)
        raise NotCompleted(f"{name} was not asked for {count} replicas within {within_s:g} s")

    def _follow(self, stop: threading.Event) -> None:
        url = urlsplit(self.server.url)
        context = ssl.create_default_context(cafile=str(self.server.certificate))
        connection = http.client.HTTPSConnection(
            str(url.hostname), url.port, context=context, timeout=3600
        )
        path = f"/{PATHS['Deployment'].format(NAMESPACE)}?watch=1"
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.server.token}"})
        response = connection.getresponse()
        known: dict[str, int] = {}
        while not stop.is_set() and (line := response.readline()):
            at_s, body = time.monotonic(), json.loads(line)["object"]
            name, replicas = body["metadata"]["name"], body["spec"]["replicas"]
            if known.get(name, replicas) != replicas:
                self.changes.append(Scaled(name=name, replicas=replicas, at_s=at_s))
            known[name] = replicas
        connection.close()

    async def _create(self, bodies: list[Body]) -> None:
        credentials = find_credentials({"KUBECONFIG": str(self.server.kubeconfig)})
        slots = asyncio.Semaphore(AT_ONCE)
        async with Client(credentials, deadline_s=60.0) as client:

            async def one(body: Body) -> None:
                path = "/" + PATHS[body["kind"]].format(NAMESPACE)
                what = body["metadata"]["name"]
                call = Call(method="POST", path=path, verb="create", what=what, body=body)
                async with slots:
                    await client.send(call)

            await asyncio.gather(*map(one, bodies))


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run an API server with the definition and an empty namespace: no controllers, no nodes."""
    with run_api_server() as server:
        server.define(CRD)
        server.kubectl("create", "namespace", NAMESPACE)
        yield Cluster(server=server)


def queue_worker(name: str, secret: str, **spec: object) -> Iterator[Body]:
    """Give a Deployment without replicas and the QueueWorker that scales it for the queue `name`."""
    labels = {"app": name}
    container = {"name": "worker", "image": "worker:1", "args": ["worker", "--queue", name]}
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    yield {
        "apiVersion": "queueworker.dev/v1alpha1",
        "kind": "QueueWorker",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": name},
            "queues": [name],
            "database": {"secretRef": {"name": secret}},
            "slotsPerPod": 1,
            "maxReplicas": 100,
            **spec,
        },
    }


def secret(name: str, dsn: str) -> Body:
    """Give a Secret with a connection string."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": {"dsn": dsn},
    }
