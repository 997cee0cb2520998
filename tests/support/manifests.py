"""A QueueWorker as it is read from a manifest, and a time to write its status at."""

from typing import Any

NOW = "2026-01-01T00:00:00Z"


def body(**spec: Any) -> dict[str, Any]:
    wanted = {
        "scaleTargetRef": {"name": "mail-worker"},
        "queues": ["mail"],
        "database": {"secretRef": {"name": "mail-db"}},
    }
    return {
        "metadata": {"namespace": "shop", "name": "mail", "uid": "u", "generation": 3},
        "spec": wanted | spec,
    }
