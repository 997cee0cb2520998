"""What people change by hand, through the plugin; the operator itself never does."""

from collections.abc import Mapping
from typing import Any

from queueworker_operator.kube.api import Watched, path_of
from queueworker_operator.kube.client import Call, Client

FIELD_MANAGER = "kubectl-queueworker"


async def patch_queue_worker(
    client: Client, namespace: str, name: str, patch: Mapping[str, Any]
) -> None:
    """Merge a change into a QueueWorker.

    Raises:
        ObjectChanged: it no longer is at the version that the patch names.
    """
    kind = Watched.QUEUE_WORKERS
    path, query = path_of(kind, namespace, name), {"fieldManager": FIELD_MANAGER}
    what = kind.resource
    await client.send(
        Call(method="PATCH", path=path, verb="patch", what=what, body=patch, query=query)
    )
