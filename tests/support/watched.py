"""Objects as watches tell them, and a clock that stands still."""

from typing import Any


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def deployment(version: int = 1, **more: Any) -> dict[str, Any]:
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "mail"}}} | more.get("spec", {})
    return {
        "metadata": {
            "namespace": "shop",
            "name": "mail",
            "uid": "d",
            "resourceVersion": str(version),
            "managedFields": more.get("managers", []),
        },
        "spec": spec,
        "status": more.get("status", {}),
    }


def pod(name: str, version: int = 1, *, ready: bool = False, **more: Any) -> dict[str, Any]:
    meta = {
        "namespace": "shop",
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "labels": {"app": "mail"},
        "creationTimestamp": "2025-12-31T23:59:50Z",
    }
    status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return {
        "metadata": meta | more.get("meta", {}),
        "spec": {},
        "status": status | more.get("status", {}),
    }


def wrote(manager: str) -> list[dict[str, Any]]:
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    return [{"manager": manager, "time": "2026-01-01T00:00:00Z", "fieldsV1": fields}]
