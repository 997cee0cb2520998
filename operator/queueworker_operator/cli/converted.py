"""PURE: a KEDA ScaledObject as a QueueWorker, with a comment on each field: where it comes from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from queueworker_operator.cli.triggers import Triggers, read_triggers
from queueworker_operator.errors import InvalidResource

Body = Mapping[str, Any]
KIND = "ScaledObject"
PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
DEFAULT_MOST = 100
DEFAULT_POLL_S = 30
DRY_RUN = (
    "It decides and records and writes nothing, so KEDA may go on beside it. Look at kubectl "
    "queueworker compare; then delete the ScaledObject, and this line."
)
JOBS = "jobs: are they enqueued into QueueWorker's queue? It reads no table of another one."
WITHOUT_COUNTERPART = {
    "pollingInterval": "the queues are read each second, and a new job for no worker wakes it at once",
    "cooldownPeriod": "a pod goes when its work fits on fewer, its jobs finished first",
    "initialCooldownPeriod": "a new target is scaled by its work from the first second",
    "advanced": "there are no windows and steps to tune: the promise decides",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of the spec, and what to know of it."""

    name: str
    value: Any
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A QueueWorker to be; `asks` is what nobody but its owner knows, `dropped` what has no counterpart."""

    name: str
    namespace: str
    fields: tuple[Field, ...]
    asks: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def spec(self) -> dict[str, Any]:
        """Give the spec alone."""
        return {field.name: field.value for field in self.fields}


def convert(body: Body, others: Sequence[Body]) -> Converted:
    """Convert one; `others` may hold its TriggerAuthentication and its Deployment.

    Raises:
        InvalidResource: it scales something else than a Deployment, or by something else than Postgres.
    """
    name = str(body["metadata"]["name"])
    spec = _mapping(body.get("spec"), f"{name}: spec")
    triggers = read_triggers(name, spec.get("triggers"), _same_place(body, others))
    fields = (
        Field(name="mode", value="DryRun", why=_mode(body)),
        Field(name="scaleTargetRef", value=_target(name, spec), why="Its target."),
        Field(name="queues", value=list(triggers.queues), why=triggers.queues_why),
        Field(name="database", value=triggers.database, why=triggers.database_why),
        Field(
            name="startWithin",
            value="30s",
            why="The promise. A ScaledObject has none: put here how long a job may wait.",
        ),
        *_bounds(name, spec),
        *_fallback(name, spec),
        *_schedule(triggers),
    )
    return Converted(
        name=name,
        namespace=str(body["metadata"]["namespace"]),
        fields=fields,
        asks=(JOBS, *triggers.asks, "startWithin: how long may a job wait before it starts?"),
        dropped=tuple(dict.fromkeys((*_dropped(spec), *triggers.dropped))),
    )


def _same_place(body: Body, others: Sequence[Body]) -> list[Body]:
    place = body["metadata"]["namespace"]
    return [other for other in others if other["metadata"]["namespace"] == place]


def _mode(body: Body) -> str:
    annotations = body["metadata"].get("annotations") or {}
    paused = next((key for key in PAUSED if key in annotations), None)
    told = f" The ScaledObject is paused ({paused}); mode Paused does the same here."
    return DRY_RUN + (told if paused else "")


def _target(name: str, spec: Body) -> Body:
    target = _mapping(spec.get("scaleTargetRef"), f"{name}: spec.scaleTargetRef")
    kind = target.get("kind", "Deployment")
    if kind != "Deployment":
        raise InvalidResource(
            f"{name} scales a {kind}: a QueueWorker scales Deployments alone; run its workers as one"
        )
    if not target.get("name"):
        raise InvalidResource(f"{name}: spec.scaleTargetRef.name is missing: add it")
    return {"kind": "Deployment", "name": str(target["name"])}


def _bounds(name: str, spec: Body) -> Iterator[Field]:
    lowest, highest = (
        _count(name, spec, "minReplicaCount", 0),
        _count(name, spec, "maxReplicaCount", DEFAULT_MOST),
    )
    idle = spec.get("idleReplicaCount")
    if idle is not None:
        why = (
            f"Its idleReplicaCount; minReplicaCount {lowest} was for the time when there is work: "
            "here the work alone decides then."
        )
        yield Field(name="minReplicas", value=_count(name, spec, "idleReplicaCount", 0), why=why)
    else:
        given = "minReplicaCount" in spec
        yield Field(
            name="minReplicas",
            value=lowest,
            why="Its minReplicaCount." if given else "KEDA's default.",
        )
    given = "maxReplicaCount" in spec
    yield Field(
        name="maxReplicas",
        value=highest,
        why="Its maxReplicaCount." if given else f"KEDA's default of {DEFAULT_MOST}: is it meant?",
    )


def _fallback(name: str, spec: Body) -> Iterator[Field]:
    if spec.get("fallback") is None:
        return
    given = _mapping(spec["fallback"], f"{name}: spec.fallback")
    behavior = str(given.get("behavior", "static"))
    if behavior == "currentReplicas":
        return  # that is what happens without one
    failures = _count(name, given, "failureThreshold", 3)
    after_s = max(1, failures * _count(name, spec, "pollingInterval", DEFAULT_POLL_S))
    lower = behavior == "currentReplicasIfLower"
    why = (
        f"Its fallback, after {failures} failed polls. More pods that run already stay."
        if not lower
        else "Its fallback; currentReplicasIfLower is not known here: these are the fewest."
    )
    value = {"replicas": max(1, _count(name, given, "replicas", 1)), "after": f"{after_s}s"}
    yield Field(name="fallback", value=value, why=why)


def _schedule(triggers: Triggers) -> Iterator[Field]:
    if triggers.schedule:
        why = "Its cron triggers. Pods are Ready when a window begins: they start before it."
        yield Field(name="schedule", value=list(triggers.schedule), why=why)


def _dropped(spec: Body) -> Iterator[str]:
    for field, why in WITHOUT_COUNTERPART.items():
        if field in spec:
            yield f"{field}: {why}"
    if (spec.get("fallback") or {}).get("behavior") == "currentReplicas":
        yield "fallback: the replicas stay as they are while the queues cannot be read, without one too"


def _count(name: str, parent: Body, field: str, default: int) -> int:
    value = parent.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidResource(f"{name}: {field} must be a whole number from 0: mend it")
    return value


def _mapping(value: object, what: str) -> Body:
    if not isinstance(value, Mapping):
        raise InvalidResource(f"{what} is missing or no object: is this a whole ScaledObject?")
    return value
