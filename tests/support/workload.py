"""What a user applies for one queue: two Secrets, a Deployment of workers, a QueueWorker."""

from dataclasses import dataclass

from tests.support.cluster import Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One application's workers; `name` names its queue, its resources and its database.

    With `shares_database` the database is that of another workload.
    """

    name: str
    shares_database: str | None = None
    slots: int = 4
    start_within: str = "30s"
    min_replicas: int = 0
    max_replicas: int = 5
    grace_s: int = 60

    @property
    def database(self) -> str:
        """Give the name of the database that holds the queue."""
        return self.shares_database or self.name

    @property
    def deployment(self) -> str:
        """Give the name of the Deployment that is scaled."""
        return f"{self.name}-worker"

    @property
    def selector(self) -> str:
        """Give the label selector of its pods."""
        return f"app={self.deployment}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The two connection strings: what workers may do, and what the operator may."""

    worker_dsn: str
    operator_dsn: str


def resources_of(workload: Workload, image: str, access: Access) -> list[Resource]:
    """Give all that is applied for a workload, in order."""
    return [
        _secret(f"{workload.name}-worker-db", access.worker_dsn),
        _secret(f"{workload.name}-db", access.operator_dsn),
        _deployment(workload, image),
        queue_worker(workload),
    ]


def queue_worker(workload: Workload) -> Resource:
    """Give the QueueWorker of a workload."""
    return {
        "apiVersion": "queueworker.dev/v1alpha1",
        "kind": "QueueWorker",
        "metadata": {"name": workload.name},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": workload.deployment},
            "queues": [workload.name],
            "database": {"secretRef": {"name": f"{workload.name}-db"}},
            "startWithin": workload.start_within,
            "minReplicas": workload.min_replicas,
            "maxReplicas": workload.max_replicas,
        },
    }


def _secret(name: str, dsn: str) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": {"dsn": dsn},
    }


def _deployment(workload: Workload, image: str) -> Resource:
    labels = {"app": workload.deployment}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": workload.deployment},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod(workload, image)},
        },
    }


def _pod(workload: Workload, image: str) -> Resource:
    return {
        "terminationGracePeriodSeconds": workload.grace_s,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(workload, image)],
    }


def _container(workload: Workload, image: str) -> Resource:
    return {
        "name": "worker",
        "image": image,
        "command": ["queueworker", "worker", "--app", "tasks:app", "--queue", workload.name],
        "env": _environment(workload),
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _environment(workload: Workload) -> list[Resource]:
    secret = {"name": f"{workload.name}-worker-db", "key": "dsn"}
    return [
        {"name": "QUEUEWORKER_DSN", "valueFrom": {"secretKeyRef": secret}},
        {"name": "QUEUEWORKER_CONCURRENCY", "value": str(workload.slots)},
        {"name": "QUEUEWORKER_GRACE_S", "value": str(workload.grace_s - 10)},
        {
            "name": "QUEUEWORKER_POD_NAME",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
        },
        {
            "name": "QUEUEWORKER_POD_NAMESPACE",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        },
        {"name": "QUEUEWORKER_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    ]
