"""PURE: the objects of one queue: a Deployment, and who scales it."""

from dataclasses import dataclass
from enum import Enum

from benchmarks.keda.api import NAMESPACE, Body

START_DELAY = "queueworker.dev/start-delay"
SECRET, AUTHENTICATION = "database", "database"
BEHAVIOR: Body = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 10000, "periodSeconds": 15}],
    },
    "scaleDown": {"stabilizationWindowSeconds": 60},
}


class Scaler(Enum):
    """Who scales a queue's Deployment."""

    OURS = "queueworker"
    KEDA = "keda"
    KEDA_TUNED = "keda, tuned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """One queue with its Deployment of the same name. `paused` Deployments get no pods."""

    name: str
    scaler: Scaler
    slots: int = 1
    least: int = 0
    most: int = 100
    start_within: str = "30s"
    start_delay_s: float = 1.0
    grace_s: int = 30
    paused: bool = False
    mode: str = "Auto"

    def objects(self) -> list[Body]:
        """Give the Deployment and its scaler's own resource."""
        mine = queue_worker(self) if self.scaler is Scaler.OURS else scaled_object(self)
        return [deployment(self), mine]


def deployment(queue: Queue) -> Body:
    """Give a Deployment of fake pods."""
    labels = {"app": queue.name}
    slots = {"name": "QUEUEWORKER_CONCURRENCY", "value": str(queue.slots)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": queue.name, "namespace": NAMESPACE},
        "spec": {
            "replicas": queue.least,
            "paused": queue.paused,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {START_DELAY: f"{queue.start_delay_s:g}s"},
                },
                "spec": {
                    "terminationGracePeriodSeconds": queue.grace_s,
                    "containers": [{"name": "worker", "image": "fake", "env": [slots]}],
                },
            },
        },
    }


def queue_worker(queue: Queue) -> Body:
    """Give the QueueWorker of a queue: the promise and the bounds, all else at its default."""
    return {
        "apiVersion": "queueworker.dev/v1alpha1",
        "kind": "QueueWorker",
        "metadata": {"name": queue.name, "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": queue.name},
            "queues": [queue.name],
            "database": {"secretRef": {"name": SECRET}},
            "startWithin": queue.start_within,
            "minReplicas": queue.least,
            "maxReplicas": queue.most,
            "mode": queue.mode,
        },
    }


def scaled_object(queue: Queue) -> Body:
    """Give a ScaledObject by the documented example of KEDA's PostgreSQL scaler, or tuned."""
    is_tuned = queue.scaler is Scaler.KEDA_TUNED
    trigger = {
        "type": "postgresql",
        "metadata": {"query": depth(queue), "targetQueryValue": "1"},
        "authenticationRef": {"name": AUTHENTICATION},
    }
    tuning: Body = {
        "pollingInterval": 1,
        "cooldownPeriod": 60,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": BEHAVIOR}},
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": queue.name, "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"name": queue.name},
            "minReplicaCount": queue.least,
            "maxReplicaCount": queue.most,
            **(tuning if is_tuned else {}),
            "triggers": [{**trigger, **({"useCachedMetrics": True} if is_tuned else {})}],
        },
    }


def depth(queue: Queue) -> str:
    """Give the query of the trigger: pods for all jobs that wait or run."""
    return (
        f"SELECT ceil(count(*)::decimal / {queue.slots}) FROM queueworker.jobs"  # noqa: S608 own names
        f" WHERE queue = '{queue.name}' AND state IN ('ready', 'running')"
    )


def secret(dsn: str) -> Body:
    """Give the Secret that all scalers take the connection string from."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "stringData": {"dsn": dsn},
    }


def authentication() -> Body:
    """Give KEDA's reference to that Secret."""
    reference = {"parameter": "connection", "name": SECRET, "key": "dsn"}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": AUTHENTICATION, "namespace": NAMESPACE},
        "spec": {"secretTargetRef": [reference]},
    }
