"""Read a QueueWorker manifest. Repeats the CRD's rules: an older CRD may have let it pass."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from queueworker_operator.decision.model import Fallback, Mode, Objective, Policy, Saturation
from queueworker_operator.errors import InvalidResource
from queueworker_operator.resource.kind import Body, key_of

MOST_REPLICAS = 10_000
MOST_SLOTS = 10_000
MOST_QUEUES = 16
LONGEST_QUEUE_NAME = 128
SHORTEST_PROMISE_S = 1.0
LONGEST_PROMISE_S = 86_400.0
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
    }
)
UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h)){1,4}")
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
QUEUE_NAME = re.compile(r"[A-Za-z0-9_./-]+")
Choice = TypeVar("Choice", bound=StrEnum)
DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


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
    meta = _mapping(body, "metadata", "metadata")
    spec = _mapping(body, "spec", "spec")
    reference = _mapping(_mapping(spec, "database", "spec.database"), "secretRef", SECRET_PATH)
    return ResourceSpec(
        key=key_of(body),
        namespace=str(meta.get("namespace", "")),
        name=str(meta.get("name", "")),
        uid=str(meta.get("uid", "")),
        generation=_integer(meta, "generation", 0, (0, 2**63)) or 0,
        created_at=str(meta.get("creationTimestamp", "")),
        queues=_queues(spec),
        policy=_policy(spec),
        secret_name=_name(reference, f"{SECRET_PATH}.name"),
        secret_key=_text(reference, "key", f"{SECRET_PATH}.key", DEFAULT_SECRET_KEY),
        target_name=_target_name(spec),
    )


SECRET_PATH = "spec.database.secretRef"  # noqa: S105 a path in the manifest, not a secret


def duration_s(text: str) -> float:
    """Give the seconds of a duration such as `30s`, `1m30s` or `500ms`.

    Raises:
        InvalidResource: it is not a duration.
    """
    if not DURATION.fullmatch(text):
        raise InvalidResource(f"{text!r:.40} is not a duration: write 30s, 2m or 1h30m")
    return sum(float(number) * UNIT_S[unit] for number, unit in DURATION_PART.findall(text))


def _policy(spec: Body) -> Policy:
    bounds = (0, MOST_REPLICAS)
    lowest = _integer(spec, "minReplicas", 0, bounds) or 0
    highest = _integer(spec, "maxReplicas", 10, (1, MOST_REPLICAS)) or 10
    if lowest > highest:
        raise InvalidResource(
            f"spec.minReplicas {lowest} is more than spec.maxReplicas {highest}: lower the first"
        )
    return Policy(
        start_within_s=_within_a_day_s(spec, "startWithin", "spec.startWithin", "30s"),
        min_replicas=lowest,
        max_replicas=highest,
        slots_per_pod=_integer(spec, "slotsPerPod", None, (1, MOST_SLOTS)),
        replicas=_integer(spec, "replicas", None, bounds),
        mode=_choice(spec, "mode", Mode.AUTO),
        late_percent=_late_percent(spec),
        objective=_choice(spec, "objective", Objective.BALANCED),
        saturation=_choice(spec, "saturation", Saturation.PROTECT),
        fallback=_fallback(spec),
    )


def _within_a_day_s(parent: Body, field: str, path: str, default: str | None) -> float:
    seconds = duration_s(_text(parent, field, path, default))
    if not SHORTEST_PROMISE_S <= seconds <= LONGEST_PROMISE_S:
        raise InvalidResource(f"{path} must lie between 1s and 24h")
    return seconds


def _choice(spec: Body, field: str, default: Choice) -> Choice:
    text = _text(spec, field, f"spec.{field}", default.value)
    kind = type(default)
    try:
        return kind(text)
    except ValueError as exc:
        *most, last = (choice.value for choice in kind)
        raise InvalidResource(f"spec.{field} must be {', '.join(most)} or {last}") from exc


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
    given = _mapping(spec, "fallback", "spec.fallback")
    replicas = _integer(given, "replicas", None, (1, MOST_REPLICAS))
    if replicas is None:
        raise InvalidResource("spec.fallback.replicas is missing: the pods to have without metrics")
    after_s = _within_a_day_s(given, "after", "spec.fallback.after", "1m")
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
    target = _mapping(spec, "scaleTargetRef", "spec.scaleTargetRef")
    kind = _text(target, "kind", "spec.scaleTargetRef.kind", "Deployment")
    version = _text(target, "apiVersion", "spec.scaleTargetRef.apiVersion", "apps/v1")
    if (version, kind) != ("apps/v1", "Deployment"):
        raise InvalidResource("spec.scaleTargetRef must be a Deployment of apps/v1")
    return _name(target, "spec.scaleTargetRef.name")


def _mapping(parent: Body, field: str, path: str) -> Mapping[str, Any]:
    value = parent.get(field)
    if not isinstance(value, Mapping):
        raise InvalidResource(
            f"{path} is missing or not an object: see kubectl explain {KIND_HINT}"
        )
    return value


KIND_HINT = "queueworker.spec"


def _text(parent: Body, field: str, path: str, default: str | None = None) -> str:
    value = parent.get(field, default)
    if value is None:
        value = default
    if not isinstance(value, str) or not value:
        raise InvalidResource(f"{path} must be a text that is not empty")
    return value


def _name(reference: Body, path: str) -> str:
    """Read the name of an object: it becomes part of a path at the API server."""
    name = _text(reference, "name", path)
    if not OBJECT_NAME.fullmatch(name):
        raise InvalidResource(f"{path} must be a name of lower-case letters, digits, - and .")
    return name


def _integer(parent: Body, field: str, default: int | None, bounds: tuple[int, int]) -> int | None:
    value = parent.get(field)
    if value is None:
        return default
    lowest, highest = bounds
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise InvalidResource(f"spec.{field} must be a whole number from {lowest} to {highest}")
    return value
