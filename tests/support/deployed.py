"""A workload that is in the cluster: its jobs, its pods, its replicas over time."""

import json
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Any, LiteralString, Self

from tests.support.cluster import Cluster, Resource
from tests.support.postgres_pod import PostgresPod
from tests.support.reconciliation import Reconciliation, reconcile
from tests.support.tools import tool_path
from tests.support.waiting import wait_until
from tests.support.workload import Workload

ENQUEUE = """
    SELECT array_agg(id)
    FROM queueworker.enqueue_many(%(queue)s, 'work', array_fill(%(args)s::jsonb, ARRAY[%(count)s])) AS id
"""
FINISHED = "SELECT job_id, token FROM ledger WHERE note = 'finished' ORDER BY started_at"
JOBS_LEFT = "SELECT count(*) FROM queueworker.jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The Deployment's replicas as the API server published them."""

    at_s: float
    replicas: int


class ReplicaWatch:
    """Follows `spec.replicas` of a Deployment; `changes` begins with what it was."""

    def __init__(self, cluster: Cluster, deployment: str) -> None:
        self.changes: list[Change] = []
        columns = ["-o", "custom-columns=:.spec.replicas", "--no-headers", "--watch"]
        self._kubectl = subprocess.Popen(
            [tool_path("kubectl"), *cluster.flags, "get", "deployment", deployment, *columns],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        wait_until(lambda: self.changes, within_s=20, what="the watch has begun")
        return self

    def __exit__(self, *_: object) -> None:
        self._kubectl.terminate()
        self._kubectl.wait()
        self._reader.join()

    @property
    def replicas(self) -> list[int]:
        """Give the numbers, one a change."""
        return [change.replicas for change in self.changes]

    def _read(self) -> None:
        if self._kubectl.stdout is None:
            return
        for line in self._kubectl.stdout:
            if line.strip() and (not self.changes or int(line) != self.changes[-1].replicas):
                self.changes.append(Change(at_s=time.monotonic(), replicas=int(line)))
        self._kubectl.stdout.close()


class Deployed:
    """What a test may ask of a workload, and do to it."""

    def __init__(self, workload: Workload, cluster: Cluster, postgres: PostgresPod) -> None:
        self.workload = workload
        self.cluster = cluster
        self.postgres = postgres
        self._enqueued: set[int] = set()

    def enqueue(self, count: int, *, seconds: float) -> float:
        """Enqueue jobs in one transaction; give the monotonic time of its commit."""
        values: dict[str, Any] = {
            "queue": self.workload.name,
            "args": json.dumps({"seconds": seconds}),
            "count": count,
        }
        with self.postgres.connect(self.workload.database) as conn:
            [(ids,)] = conn.execute(ENQUEUE, values).fetchall()
            committed_at_s = time.monotonic()
        self._enqueued |= set(ids)
        return committed_at_s

    def reconcile(self) -> Reconciliation:
        """Compare what was enqueued with what the ledger and the queue hold."""
        return reconcile(self._enqueued, self.query(FINISHED), self.query(JOBS_LEFT)[0][0])

    def query(self, statement: LiteralString, **parameters: object) -> list[tuple[Any, ...]]:
        """Run a query in the workload's database."""
        return self.postgres.query(self.workload.database, statement, parameters)

    def watch(self) -> ReplicaWatch:
        """Follow the Deployment's replicas."""
        return ReplicaWatch(self.cluster, self.workload.deployment)

    def replicas(self) -> int:
        """Give what the Deployment is asked for."""
        deployment = self.cluster.get("deployment", self.workload.deployment)
        return int(deployment["spec"]["replicas"])

    def pods(self) -> list[Resource]:
        """Give the workload's pods, also those that are ending."""
        return self.cluster.find("pods", selector=self.workload.selector)

    def ready_pods(self) -> list[str]:
        """Give the names of the pods that are Ready."""
        return [pod["metadata"]["name"] for pod in self.pods() if is_ready(pod)]

    def status(self) -> Resource:
        """Give the QueueWorker's status."""
        status: Resource = self.cluster.get("queueworker", self.workload.name).get("status", {})
        return status

    def condition(self, kind: str) -> Resource:
        """Give one condition of the QueueWorker; empty while it is not there."""
        conditions = self.status().get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def wait_for_jobs(self, *, within_s: float) -> None:
        """Wait until no job is left."""
        wait_until(
            lambda: self.query(JOBS_LEFT) == [(0,)],
            within_s=within_s,
            what=f"all jobs of {self.workload.name} are done",
            every_s=1,
        )

    def wait_for_replicas(self, count: int, *, within_s: float) -> None:
        """Wait until the Deployment asks for `count` pods and no other pod is left."""
        wait_until(
            lambda: self.replicas() == count and len(self.pods()) == count,
            within_s=within_s,
            what=f"{self.workload.deployment} has {count} pods",
            every_s=0.5,
        )


def is_ready(pod: Resource) -> bool:
    """Tell whether a pod is Ready and not ending."""
    conditions = pod["status"].get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
