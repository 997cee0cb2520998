"""PURE: a QueueWorker, its Deployment, its pods and their workers, as a tree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from queueworker_operator.lag import WorkerState
from queueworker_operator.lag.pods import rows_of
from queueworker_operator.settings import LoopSettings
from queueworker_operator.target.objects import age_s, deployment_of, pod_of

Body = Mapping[str, Any]


class PodState(StrEnum):
    """Where a pod is between its first second and its last."""

    STARTING = "starting"
    READY = "ready"
    ENDING = "ending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a pod's worker holds. `oldest_job_s` None: no job runs.

    `drains_for_s` None: it does not drain, or it is not known since when. `drain_patience_s` is how
    long the operator lets it finish its jobs before it may claim again; None: no operator waits.
    """

    slots: int
    busy: int
    held: int
    oldest_job_s: float | None
    lease_left_s: float
    drains: bool
    drains_for_s: float | None
    drain_patience_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One pod. `worker` None: none of it is registered, or its branch has a trouble; `killed_in_s` None: nobody ends it."""

    pod: str
    state: PodState
    age_s: float
    worker: Load | None
    killed_in_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One QueueWorker; `trouble` is why something of it is not shown."""

    name: str
    ready: str
    mode: str
    backlog: str
    deployment: str
    replicas: str
    reason: str
    pods: tuple[Leaf, ...]
    trouble: str = ""


def branch_of(
    body: Body,
    now_s: float,
    *,
    deployment: Body | None = None,
    pods: Sequence[Body] = (),
    workers: Sequence[WorkerState] = (),
    trouble: str = "",
) -> Branch:
    """Put together what belongs together."""
    meta, status = body["metadata"], body.get("status") or {}
    mine = [] if deployment is None else pods_of(deployment, pods)
    patience_s = 0.0 if deployment is None else patience_of(deployment)
    ids = [pod_of(pod, 0.0).id for pod in mine]
    loads = {worker.pod: worker for worker in rows_of(workers, ids, shared=False)}
    leaves = tuple(
        _leaf(pod, now_s, loads.get(pod["metadata"]["name"]), patience_s) for pod in mine
    )
    asked = None if deployment is None else deployment_of(deployment, None).replicas
    ready = sum(leaf.state is PodState.READY for leaf in leaves)
    return Branch(
        name=f"{meta['namespace']}/{meta['name']}",
        ready=ready_of(status),
        mode=str(body["spec"].get("mode", "Auto")),
        backlog=backlog_of(status),
        deployment=str(body["spec"]["scaleTargetRef"]["name"]),
        replicas="not found" if asked is None else f"{asked} asked for, {ready} ready",
        reason=str((status.get("lastDecision") or {}).get("reason", "undecided")),
        pods=leaves,
        trouble=trouble,
    )


def pods_of(deployment: Body, pods: Sequence[Body]) -> list[Body]:
    """Choose the living pods that the Deployment's selector matches."""
    demands = deployment_of(deployment, None).pods_labels
    living = [pod for pod in pods if not pod_of(pod, 0.0).ended]
    return [
        pod
        for pod in living
        if all(demand.holds(pod["metadata"].get("labels") or {}) for demand in demands)
    ]


def patience_of(deployment: Body) -> float:
    """Give how long the operator, which has no setting for it, lets a busy pod drain."""
    return LoopSettings().patience_s(deployment_of(deployment, None).grace_s)


def ready_condition(status: Body) -> Body | None:
    """Give the condition Ready; None while no operator has written one."""
    return next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), None)


def ready_of(status: Body) -> str:
    """Say whether the QueueWorker is Ready, else why not."""
    found = ready_condition(status)
    if found is None:
        return "no operator has looked at it"
    return "Ready" if found["status"] == "True" else f"not Ready ({found['reason']})"


def backlog_of(status: Body) -> str:
    """Say what waits."""
    backlog = status.get("backlog")
    if backlog is None:
        return "backlog not known"
    oldest = f", oldest {backlog['oldestSeconds']:g}s" if backlog["ready"] else ""
    return f"{backlog['ready']} waiting{oldest}, {backlog['running']} running"


def age(value_s: float) -> str:
    """Write an age as kubectl does: 12s, 5m, 3h, 2d."""
    for unit, length_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if value_s >= 2 * length_s:
            return f"{value_s // length_s:.0f}{unit}"
    return f"{value_s:.0f}s"


def _leaf(body: Body, now_s: float, worker: WorkerState | None, patience_s: float) -> Leaf:
    pod = pod_of(body, 0.0)
    patience = None if pod.terminating else patience_s  # from SIGTERM on its grace counts
    alive = PodState.READY if pod.ready else PodState.STARTING
    return Leaf(
        pod=pod.name,
        state=PodState.ENDING if pod.terminating else alive,
        age_s=age_s(body, now_s),
        worker=None if worker is None else _load(worker, patience),
        killed_in_s=_killed_in_s(body, now_s),
    )


def _killed_in_s(body: Body, now_s: float) -> float | None:
    """Give the seconds until SIGKILL: Kubernetes writes the end of the grace as the deletion's time."""
    at = body["metadata"].get("deletionTimestamp")
    return None if at is None else max(0.0, datetime.fromisoformat(at).timestamp() - now_s)


def _load(worker: WorkerState, patience_s: float | None) -> Load:
    return Load(
        slots=worker.slots,
        busy=worker.busy,
        held=worker.held,
        oldest_job_s=worker.oldest_start_age_s if worker.busy else None,
        lease_left_s=worker.lease_remaining_s,
        drains=worker.drain or worker.draining,
        drains_for_s=worker.drain_age_s,
        drain_patience_s=None if worker.drain_remaining_s is None else patience_s,
    )
