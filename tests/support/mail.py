"""A Deployment, its QueueWorker and its Secret, as a user would apply them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.support.controlplane import ApiServer
from tests.support.postgres import Connection
from tests.support.waiting import wait_until

Body = dict[str, Any]


def deployment(name: str = "mail-worker", *, replicas: int = 0, slots: int = 10) -> Body:
    container = {
        "name": "worker",
        "image": "mail-worker:1",
        "args": ["worker", "--queue", "mail", "--concurrency", str(slots)],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 40},
            },
        },
    }


def queue_worker(name: str = "mail", **spec: Any) -> Body:
    wanted: Body = {
        "scaleTargetRef": {"kind": "Deployment", "name": "mail-worker"},
        "queues": ["mail"],
        "database": {"secretRef": {"name": "mail-db"}},
        "maxReplicas": 50,
    }
    return {
        "apiVersion": "queueworker.dev/v1alpha1",
        "kind": "QueueWorker",
        "metadata": {"name": name},
        "spec": wanted | spec,
    }


def secret(dsn: str, name: str = "mail-db") -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": {"dsn": dsn},
    }


def pod(name: str, app: str = "mail-worker", *, ready: bool = True) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"containers": [{"name": "worker", "image": "mail-worker:1"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A namespace of a real API server."""

    server: ApiServer
    namespace: str

    @property
    def kubeconfig(self) -> Path:
        return self.server.kubeconfig

    def apply(self, *bodies: Body) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(bodies))

    def add_pod(self, body: Body) -> None:
        """Create a pod with the status that a kubelet would give it."""
        self.apply({key: body[key] for key in body if key != "status"})
        self.set_pod(body)

    def set_pod(self, body: Body) -> None:
        patch = json.dumps({"status": body["status"]})
        name = body["metadata"]["name"]
        self.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", patch)

    def patch_status(self, name: str, status: Body) -> None:
        """Write a QueueWorker's status."""
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        self.kubectl("patch", "queueworker", name, *patch)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.server.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def get(self, kind: str, name: str) -> Body:
        body: Body = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return body

    def replicas(self, name: str = "mail-worker") -> int:
        return int(self.get("deployment", name)["spec"]["replicas"])

    def condition(self, kind: str, name: str = "mail") -> Body:
        """Give one condition of a QueueWorker; empty while there is none."""
        conditions = self.get("queueworker", name).get("status", {}).get("conditions", [])
        found: Body = next((entry for entry in conditions if entry["type"] == kind), {})
        return found

    def await_replicas(self, count: int, *, within_s: float = 15.0) -> None:
        what = f"{count} replicas"
        wait_until(lambda: self.replicas() == count, within_s=within_s, what=what)

    def await_condition(
        self, kind: str, reason: str, *, name: str = "mail", within_s: float = 15.0
    ) -> Body:
        """Wait until a condition has `reason`, and give it."""
        return wait_until(
            lambda: (
                found if (found := self.condition(kind, name)).get("reason") == reason else None
            ),
            within_s=within_s,
            what=f"{kind} because of {reason}",
        )

    def await_told(self, kind: str, name: str = "mail") -> Body:
        """Wait until the operator has written a condition, and give it."""
        return wait_until(
            lambda: self.condition(kind, name), within_s=15, what=f"the condition {kind}"
        )

    def events(self) -> list[Body]:
        listed = json.loads(self.kubectl("get", "events", "-o", "json"))["items"]
        return [body for body in listed if body["involvedObject"]["kind"] == "QueueWorker"]


def enqueue(conn: Connection, count: int, queue: str = "mail") -> None:
    conn.execute(
        "SELECT queueworker.enqueue_many(%s, 'send', array_fill('{}'::jsonb, ARRAY[%s]))",
        (queue, count),
    )
