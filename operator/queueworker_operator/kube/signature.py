"""Which operators write a QueueWorker's status: each signs with the namespace of its Lease.

Two releases of the chart that serve one namespace from two namespaces hold two Leases, so both lead.
"""

from collections.abc import Mapping
from typing import Any

from queueworker_operator.kube.api import FIELD_MANAGER

SIGNED = f"{FIELD_MANAGER}@"

Body = Mapping[str, Any]


def signature(namespace: str) -> str:
    """Give the field manager of the operator whose Lease is in `namespace`."""
    return f"{SIGNED}{namespace}"


def signed_at(body: Body) -> dict[str, str]:
    """Give the namespaces whose operators have a part in the status, and when each wrote last."""
    return {
        str(entry["manager"]).removeprefix(SIGNED): str(entry.get("time", ""))
        for entry in body["metadata"].get("managedFields") or ()
        if str(entry.get("manager", "")).startswith(SIGNED) and entry.get("subresource") == "status"
    }
