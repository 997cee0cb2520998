"""PURE: a QueueWorker, its Deployment, its pods and their workers, as a tree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text
from rich.tree import Tree

from queueworker_operator.lag import WorkerState
from queueworker_operator.target.objects import age_s, deployment_of, pod_of

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One pod: its state, and what its worker holds (None: no worker of it is registered)."""

    pod: str
    state: str
    age_s: float
    worker: str | None


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
    loads = {worker.pod: worker for worker in workers}
    leaves = tuple(_leaf(pod, now_s, loads.get(pod["metadata"]["name"])) for pod in mine)
    asked = None if deployment is None else deployment_of(deployment, None).replicas
    ready = sum(leaf.state == "ready" for leaf in leaves)
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


def ready_of(status: Body) -> str:
    """Say whether the QueueWorker is Ready, else why not."""
    found = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
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


def tree_of(branch: Branch) -> Tree:
    """Draw one."""
    head = f"{branch.name}  {branch.ready}, {branch.mode}  {branch.backlog}  {branch.reason}"
    tree = Tree(Text(head))
    inner = tree.add(Text(f"deployment {branch.deployment}: {branch.replicas}"))
    for leaf in branch.pods:
        held = "" if leaf.worker is None else f"  {leaf.worker}"
        inner.add(Text(f"{leaf.pod}  {leaf.state} {age(leaf.age_s)}{held}"))
    if branch.trouble:
        tree.add(Text(branch.trouble))
    return tree


def age(value_s: float) -> str:
    """Write an age as kubectl does: 12s, 5m, 3h, 2d."""
    for unit, length_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if value_s >= 2 * length_s:
            return f"{value_s // length_s:.0f}{unit}"
    return f"{value_s:.0f}s"


def _leaf(body: Body, now_s: float, worker: WorkerState | None) -> Leaf:
    pod = pod_of(body, 0.0)
    state = "ending" if pod.terminating else "ready" if pod.ready else "starting"
    return Leaf(
        pod=pod.name,
        state=state,
        age_s=age_s(body, now_s),
        worker=None if worker is None else _held(worker),
    )


def _held(worker: WorkerState) -> str:
    held = f", {worker.held} held" if worker.held else ""
    oldest = worker.oldest_start_age_s
    since = f", the oldest for {age(oldest)}" if worker.busy and oldest is not None else ""
    drain = ", drains" if worker.drain or worker.draining else ""
    return f"{worker.busy}/{worker.slots} slots busy{held}{since}{drain}"
