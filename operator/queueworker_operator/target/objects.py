"""Pods and Deployments, cut down to what decisions need. Pure: bodies in, values out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from queueworker_operator.decision.model import PodId
from queueworker_operator.kube.api import DELETION_COST, version_of
from queueworker_operator.resource import grace_s_of, slots_of, workers_of

Body = Mapping[str, Any]
ENDED_PHASES = frozenset({"Failed", "Succeeded"})
DEFAULT_REPLICAS = 1  # what the API server fills in
UNNAMED = "a writer without a name (a size of 0 bears none)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod. `created_s` is on the operator's monotonic clock; `start_up_s` once it is known.

    `restarts` grows each time that all its workers have ended; `ended_at_s` is when the last of
    them did (epoch seconds of its node's clock), None where that is not told.
    """

    namespace: str
    name: str
    uid: str
    version: int
    labels: Mapping[str, str]
    created_s: float
    ready: bool
    terminating: bool
    ended: bool
    restarts: int
    ended_at_s: float | None = None
    cost: str | None = None
    start_up_s: float | None = None
    was_ready: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Name the pod within the cluster."""
        return self.namespace, self.name

    @property
    def id(self) -> PodId:
        """Name the pod among those of all clusters, and of all times."""
        return PodId(namespace=self.namespace, name=self.name, uid=self.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One Deployment. `writer` is the manager that last set `spec.replicas`, or UNNAMED."""

    namespace: str
    name: str
    uid: str
    version: int
    replicas: int
    two_templates: bool
    pods_labels: tuple["Requirement", ...]
    slots: int | None
    grace_s: float
    writer: str | None = None

    @property
    def selector(self) -> str:
        """Write the selector as `kubectl --selector` takes it."""
        return ",".join(requirement.text() for requirement in self.pods_labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One demand of a label selector."""

    label: str
    operator: str
    values: tuple[str, ...]

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether `labels` meet the demand."""
        value = labels.get(self.label)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case _:
                return value is None

    def text(self) -> str:
        """Write the demand as `kubectl --selector` takes it."""
        match self.operator:
            case "In" if len(self.values) == 1:
                return f"{self.label}={self.values[0]}"
            case "In" | "NotIn":
                return f"{self.label} {self.operator.lower()} ({','.join(self.values)})"
            case "Exists":
                return self.label
            case _:
                return f"!{self.label}"


def pod_of(body: Body, created_s: float) -> Pod:
    """Read a pod's body."""
    meta, status = body["metadata"], body.get("status") or {}
    workers = _workers(body)
    return Pod(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta.get("uid", ""),
        version=version_of(body),
        labels=dict(meta.get("labels") or {}),
        created_s=created_s,
        ready=_is_ready(status.get("conditions") or ()),
        terminating=meta.get("deletionTimestamp") is not None,
        ended=status.get("phase") in ENDED_PHASES,
        restarts=_restarts(workers),
        ended_at_s=max((at_s for one in workers for at_s in _ends_s(one)), default=None),
        cost=(meta.get("annotations") or {}).get(DELETION_COST),
    )


def aged(pod: Pod, before: Pod | None, now_s: float) -> Pod:
    """Carry on from `before`: when it was created, and how long it took to become Ready."""
    if before is None or before.uid != pod.uid:
        return replace(pod, was_ready=pod.ready)
    start_up_s = before.start_up_s
    if pod.ready and not before.was_ready:
        start_up_s = now_s - before.created_s
    return replace(
        pod,
        created_s=before.created_s,
        start_up_s=start_up_s,
        was_ready=before.was_ready or pod.ready,
    )


def deployment_of(body: Body, before: Deployment | None) -> Deployment:
    """Read a Deployment's body."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    replicas = spec.get("replicas")
    size = DEFAULT_REPLICAS if replicas is None else int(replicas)
    return Deployment(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta.get("uid", ""),
        version=version_of(body),
        replicas=size,
        two_templates=status.get("updatedReplicas", 0) < status.get("replicas", 0),
        pods_labels=requirements_of(spec.get("selector") or {}),
        slots=slots_of(body),
        grace_s=grace_s_of(body),
        writer=last_writer(meta.get("managedFields") or ()) or _unsigned(size, before),
    )


def _unsigned(replicas: int, before: Deployment | None) -> str | None:
    """Say who wrote replicas that nobody owns; a size of 0 written to `/scale` is such a one."""
    if before is None:
        return None
    return before.writer if before.replicas == replicas else UNNAMED


def requirements_of(selector: Body) -> tuple[Requirement, ...]:
    """Read a label selector: `matchLabels` and `matchExpressions`."""
    exact = [
        Requirement(label=label, operator="In", values=(value,))
        for label, value in (selector.get("matchLabels") or {}).items()
    ]
    expressions = [
        Requirement(
            label=entry["key"], operator=entry["operator"], values=tuple(entry.get("values") or ())
        )
        for entry in selector.get("matchExpressions") or ()
    ]
    return (*exact, *expressions)


def last_writer(managed_fields: Iterable[Body]) -> str | None:
    """Name the manager that owns `spec.replicas`; the latest if several do."""
    owners = [
        (str(entry.get("time", "")), str(entry.get("manager", "")))
        for entry in managed_fields
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    return max(owners)[1] if owners else None


def age_s(body: Body, now_epoch_s: float) -> float:
    """Give the seconds since creation by wall clocks; never negative."""
    text = body["metadata"].get("creationTimestamp")
    if not text:
        return 0.0
    return max(0.0, now_epoch_s - datetime.fromisoformat(text).timestamp())


def _is_ready(conditions: Iterable[Body]) -> bool:
    return any(
        entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions
    )


def statuses_of(pod: Body) -> Sequence[Body]:
    """List what is told of a pod's containers; nothing before they are made."""
    return (pod.get("status") or {}).get("containerStatuses") or ()


def ends_of(status: Body) -> int:
    """Count how often this container's process has ended so far."""
    ended_now = "terminated" in (status.get("state") or {})
    return int(status.get("restartCount", 0)) + int(ended_now)


def _workers(pod: Body) -> Sequence[Body]:
    """List what is told of the containers that run workers; of all, where none is known as one."""
    statuses = statuses_of(pod)
    names = {container.get("name") for container in workers_of(pod.get("spec") or {})}
    return [one for one in statuses if one.get("name") in names] or statuses


def _restarts(workers: Sequence[Body]) -> int:
    """Count how often the worker's container ended; of several, tell only whether all are down.

    A sidecar's end is none of the worker's, and a lease is ended by the pod: of two workers in one
    the other would lose its own.
    """
    if len(workers) == 1:
        return ends_of(workers[0])
    return int(bool(workers) and all(map(_is_down, workers)))


def _ends_s(status: Body) -> Iterable[float]:
    """List when a container's process ended, as far as that is told: this time, and the last."""
    for kind in ("state", "lastState"):
        text = ((status.get(kind) or {}).get("terminated") or {}).get("finishedAt")
        if text:
            yield datetime.fromisoformat(text).timestamp()


def _is_down(status: Body) -> bool:
    return ends_of(status) > 0 and "running" not in (status.get("state") or {})
