"""Read a QueueWorker manifest. Repeats the CRD's rules: an older CRD may have let it pass."""

import re
from dataclasses import dataclass

from queueworker_operator.decision.model import Fallback, Mode, Objective, Policy, Saturation
from queueworker_operator.errors import InvalidResource
from queueworker_operator.resource.fields import (
    MOST_REPLICAS,
    choice_of,
    integer_of,
    mapping_of,
    name_of,
    seconds_of,
    text_of,
)
from queueworker_operator.resource.kind import Body, key_of
from queueworker_operator.resource.schedule import schedule_of

MOST_SLOTS = 10_000
MOST_QUEUES = 16
LONGEST_QUEUE_NAME = 128
LONGEST_S = 86_400.0
SMALLEST_LATE_PERCENT = 0.01
LARGEST_LATE_PERCENT = 50.0
DEFAULT_SECRET_KEY = "dsn"  # noqa: S105 the key's name, not a secret
SPEC_FIELDS = frozenset(
    {
        "scaleTargetRef",
        "queues",
        "database",
        "startWithin",
        "slotsPerPod",
        "minReplicas",
        "maxReplicas",
        "replicas",
        "mode",
        "latePercent",
        "objective",
        "saturation",
        "fallback",
        "schedule",
    }
)
QUEUE_NAME = re.compile(r"[A-Za-z0-9_./-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSpec:
    """A valid QueueWorker: whose backlog counts, what was promised, what is scaled."""

    key: str
    namespace: str
    name: str
    uid: str
    generation: int
    created_at: str
    queues: tuple[str, ...]
    policy: Policy
    secret_name: str
    secret_key: str
    target_name: str


def parse(body: Body) -> ResourceSpec:
    """Read `body`; the policy's `default_slots` is left for the pod template to tell.

    Raises:
        InvalidResource: names the field, what is wrong with it, and what would be right.
    """
    meta = mapping_of(body, "metadata")
    spec = mapping_of(body, "spec")
    reference = mapping_of(mapping_of(spec, "spec.database"), SECRET_PATH)
    return ResourceSpec(
        key=key_of(body),
        namespace=str(meta.get("namespace", "")),
        name=str(meta.get("name", "")),
        uid=str(meta.get("uid", "")),
        generation=integer_of(meta, "metadata.generation", 0, (0, 2**63)) or 0,
        created_at=str(meta.get("creationTimestamp", "")),
        queues=_queues(spec),
        policy=_policy(spec),
        secret_name=name_of(reference, f"{SECRET_PATH}.name"),
        secret_key=text_of(reference, f"{SECRET_PATH}.key", DEFAULT_SECRET_KEY),
        target_name=_target_name(spec),
    )


SECRET_PATH = "spec.database.secretRef"  # noqa: S105 a path in the manifest, not a secret


def _policy(spec: Body) -> Policy:
    bounds = (0, MOST_REPLICAS)
    lowest = integer_of(spec, "spec.minReplicas", 0, bounds) or 0
    highest = integer_of(spec, "spec.maxReplicas", 10, (1, MOST_REPLICAS)) or 10
    if lowest > highest:
        raise InvalidResource(
            f"spec.minReplicas {lowest} is more than spec.maxReplicas {highest}: lower the first"
        )
    return Policy(
        start_within_s=seconds_of(spec, "spec.startWithin", "30s", LONGEST_S),
        min_replicas=lowest,
        max_replicas=highest,
        slots_per_pod=integer_of(spec, "spec.slotsPerPod", None, (1, MOST_SLOTS)),
        replicas=integer_of(spec, "spec.replicas", None, bounds),
        mode=choice_of(spec, "spec.mode", Mode.AUTO),
        late_percent=_late_percent(spec),
        objective=choice_of(spec, "spec.objective", Objective.BALANCED),
        saturation=choice_of(spec, "spec.saturation", Saturation.PROTECT),
        fallback=_fallback(spec),
        schedule=schedule_of(spec, highest),
    )


def _late_percent(spec: Body) -> float:
    value = spec.get("latePercent")
    if value is None:
        return Policy().late_percent
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not SMALLEST_LATE_PERCENT <= value <= LARGEST_LATE_PERCENT:
        raise InvalidResource("spec.latePercent must be a number from 0.01 to 50")
    return float(value)


def _fallback(spec: Body) -> Fallback | None:
    if spec.get("fallback") is None:
        return None
    given = mapping_of(spec, "spec.fallback")
    replicas = integer_of(given, "spec.fallback.replicas", None, (1, MOST_REPLICAS))
    if replicas is None:
        raise InvalidResource("spec.fallback.replicas is missing: the pods to have without metrics")
    after_s = seconds_of(given, "spec.fallback.after", "1m", LONGEST_S)
    return Fallback(replicas=replicas, after_s=after_s)


def _queues(spec: Body) -> tuple[str, ...]:
    queues = spec.get("queues")
    if not isinstance(queues, list) or not 1 <= len(queues) <= MOST_QUEUES:
        raise InvalidResource(f"spec.queues must list 1 to {MOST_QUEUES} queue names")
    if not all(isinstance(name, str) and 0 < len(name) <= LONGEST_QUEUE_NAME for name in queues):
        raise InvalidResource(f"spec.queues holds names of 1 to {LONGEST_QUEUE_NAME} characters")
    if not all(map(QUEUE_NAME.fullmatch, queues)):
        raise InvalidResource("spec.queues holds names of letters, digits and _ . / -")
    if len(set(queues)) != len(queues):
        raise InvalidResource("spec.queues names a queue twice: remove one")
    return tuple(queues)


def _target_name(spec: Body) -> str:
    target = mapping_of(spec, "spec.scaleTargetRef")
    kind = text_of(target, "spec.scaleTargetRef.kind", "Deployment")
    version = text_of(target, "spec.scaleTargetRef.apiVersion", "apps/v1")
    if (version, kind) != ("apps/v1", "Deployment"):
        raise InvalidResource("spec.scaleTargetRef must be a Deployment of apps/v1")
    return name_of(target, "spec.scaleTargetRef.name")
