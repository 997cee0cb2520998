"""What the resource is called at the API server."""

from collections.abc import Mapping
from typing import Any

GROUP = "queueworker.dev"
VERSION = "v1alpha1"
KIND = "QueueWorker"
PLURAL = "queueworkers"

Body = Mapping[str, Any]


def key_of(body: Body) -> str:
    """Name an object within the cluster: `namespace/name`."""
    meta = body.get("metadata") or {}
    return f"{meta.get('namespace', '')}/{meta.get('name', '')}"
