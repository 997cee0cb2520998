"""The few calls that the operator makes, one function each."""

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from queueworker_operator.errors import ObjectChanged
from queueworker_operator.kube.client import METADATA, Call, Client

FIELD_MANAGER = "queueworker-operator"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
SCALE = "deployments/scale"
LEASES = "leases.coordination.k8s.io"
ATTEMPTS = 4


class Watched(Enum):
    """The three kinds that are kept in caches: (API path, resource)."""

    QUEUE_WORKERS = ("apis/queueworker.dev/v1alpha1", "queueworkers")
    DEPLOYMENTS = ("apis/apps/v1", "deployments")
    PODS = ("api/v1", "pods")

    @property
    def resource(self) -> str:
        """Give the plural that RBAC uses."""
        return self.value[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What `/scale` says: the replicas asked for, and the version that said so."""

    replicas: int
    version: str


def list_objects(
    client: Client, kind: Watched, namespace: str | None
) -> AsyncIterator[dict[str, Any]]:
    """List all objects of `kind` in `namespace` (None: everywhere)."""
    return client.list_all(_collection(kind, namespace), kind.resource)


def list_pods(client: Client, namespace: str, selector: str) -> AsyncIterator[dict[str, Any]]:
    """List the pods of `namespace` that `selector` (as kubectl takes it) matches."""
    path, what = _collection(Watched.PODS, namespace), Watched.PODS.resource
    return client.list_all(path, what, selector=selector)


def list_metadata(
    client: Client, kind: Watched, namespace: str | None
) -> AsyncIterator[dict[str, Any]]:
    """List them with nothing but their metadata: that is all it takes to know who is there."""
    return client.list_all(_collection(kind, namespace), kind.resource, METADATA)


def _collection(kind: Watched, namespace: str | None) -> str:
    group, resource = kind.value
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"/{group}{place}/{resource}"


def path_of(kind: Watched, namespace: str, name: str) -> str:
    """Give the address of one object of `kind`."""
    return f"{_collection(kind, namespace)}/{name}"


def version_of(body: Mapping[str, Any]) -> int:
    """Give the resource version as a number: comparable since Kubernetes 1.35."""
    text = str((body.get("metadata") or {}).get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0


async def get_object(client: Client, kind: Watched, namespace: str, name: str) -> dict[str, Any]:
    """Read one object of `kind`."""
    path = path_of(kind, namespace, name)
    return await client.send(Call(method="GET", path=path, verb="get", what=kind.resource))


async def get_secret(client: Client, namespace: str, name: str) -> dict[str, str]:
    """Read one Secret by name; values that are not text are left out."""
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    call = Call(method="GET", path=path, verb="get", what=f"secret {namespace}/{name}")
    body = await client.send(call)
    return {key: text for key, value in (body.get("data") or {}).items() if (text := _text(value))}


def _text(value: str) -> str | None:
    try:
        return base64.b64decode(value).decode().strip()
    except (binascii.Error, ValueError):
        return None


async def get_scale(client: Client, namespace: str, name: str) -> Scale:
    """Read a Deployment's `/scale`."""
    call = Call(method="GET", path=_scale_path(namespace, name), verb="get", what=SCALE)
    return _scale(await client.send(call))


async def set_scale(client: Client, namespace: str, name: str, wanted: Scale) -> Scale:
    """Write `wanted.replicas`, only if the Deployment still is at `wanted.version`."""
    body = {
        "metadata": {"resourceVersion": wanted.version},
        "spec": {"replicas": wanted.replicas},
    }
    path = _scale_path(namespace, name)
    query = {"fieldManager": FIELD_MANAGER}
    call = Call(method="PATCH", path=path, verb="patch", what=SCALE, body=body, query=query)
    return _scale(await client.send(call))


def _scale_path(namespace: str, name: str) -> str:
    return f"{path_of(Watched.DEPLOYMENTS, namespace, name)}/scale"


def _scale(body: Mapping[str, Any]) -> Scale:
    return Scale(
        replicas=int((body.get("spec") or {}).get("replicas", 0)),
        version=str(body["metadata"]["resourceVersion"]),
    )


async def set_deletion_cost(
    client: Client, namespace: str, pod: str, cost: int | None
) -> dict[str, Any]:
    """Tell the ReplicaSet controller how much a pod is worth (lower ends first; None: as others).

    Gives the pod as it is then.
    """
    body = {"metadata": {"annotations": {DELETION_COST: None if cost is None else str(cost)}}}
    path = path_of(Watched.PODS, namespace, pod)
    return await client.send(Call(method="PATCH", path=path, verb="patch", what="pods", body=body))


async def patch_status(
    client: Client, place: tuple[str, str], status: Mapping[str, Any], manager: str
) -> None:
    """Write the status of a QueueWorker (namespace, name), signed by `manager`."""
    namespace, name = place
    path = f"{path_of(Watched.QUEUE_WORKERS, namespace, name)}/status"
    body = {"status": status}
    query, what = {"fieldManager": manager}, "queueworkers/status"
    call = Call(method="PATCH", path=path, verb="patch", what=what, body=body, query=query)
    await client.send(call)


async def create_event(client: Client, namespace: str, event: Mapping[str, Any]) -> None:
    """Publish one Event."""
    path = f"/api/v1/namespaces/{namespace}/events"
    await client.send(Call(method="POST", path=path, verb="create", what="events", body=event))


async def get_lease(client: Client, namespace: str, name: str) -> dict[str, Any]:
    """Read a coordination Lease."""
    path = f"{_leases_path(namespace)}/{name}"
    return await client.send(Call(method="GET", path=path, verb="get", what=LEASES))


async def write_lease(client: Client, namespace: str, lease: Mapping[str, Any]) -> dict[str, Any]:
    """Create the Lease, or replace the version that was read.

    Raises:
        ObjectChanged: somebody else was faster.
    """
    path = _leases_path(namespace)
    if "resourceVersion" not in lease["metadata"]:
        call = Call(method="POST", path=path, verb="create", what=LEASES, body=lease)
        return await client.send(call)
    named = f"{path}/{lease['metadata']['name']}"
    return await client.send(Call(method="PUT", path=named, verb="update", what=LEASES, body=lease))


def _leases_path(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


async def set_scale_where(
    client: Client, namespace: str, name: str, change: tuple[Scale, int]
) -> Scale:
    """Change the replicas from what was read to a new number.

    A Deployment gets a new version with every status update; that alone is no conflict: read
    again, and write if the replicas still are what the decision was made on.

    Raises:
        ObjectChanged: the replicas are no longer what was read.
    """
    seen, desired = change
    for _ in range(ATTEMPTS):
        try:
            wanted = Scale(replicas=desired, version=seen.version)
            return await set_scale(client, namespace, name, wanted)
        except ObjectChanged:
            fresh = await get_scale(client, namespace, name)
            if fresh.replicas != seen.replicas:
                raise
            seen = fresh
    raise ObjectChanged(f"deployment {namespace}/{name} changes faster than it can be scaled")
