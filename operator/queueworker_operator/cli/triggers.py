"""PURE: the triggers of a ScaledObject: which queues, whose database, which times of the day."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from queueworker_operator.errors import InvalidResource
from queueworker_operator.resource.spec import QUEUE_NAME

Body = Mapping[str, Any]
QUEUES = re.compile(r"\bqueue(?:_name)?\s*(?:=|in)\s*\(?\s*((?:'[^']+'\s*,?\s*)+)", re.IGNORECASE)
DIVIDED = re.compile(r"/\s*(\d+(?:\.\d+)?)")
AT = re.compile(r"(\d{1,2}) (\d{1,2})( \S+ \S+ \S+)")
MINUTES_A_DAY = 24 * 60
SHOWN = 120
OF_NAMESPACE = "TriggerAuthentication"


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """What they come to."""

    queues: tuple[str, ...]
    queues_why: str
    database: Body
    database_why: str
    schedule: tuple[Body, ...]
    asks: tuple[str, ...]
    dropped: tuple[str, ...]


def read_triggers(name: str, triggers: object, others: Sequence[Body]) -> Triggers:
    """Read the triggers of the ScaledObject `name`.

    Raises:
        InvalidResource: one is of another kind, they read two databases, or there is none.
    """
    if not isinstance(triggers, list) or not all(isinstance(one, Mapping) for one in triggers):
        raise InvalidResource(f"{name}: spec.triggers must be a list of objects: mend it")
    for one in triggers:
        if one.get("type") not in ("postgresql", "cron"):
            raise InvalidResource(
                f"{name} has a trigger {one.get('type')!r}: a QueueWorker reads queues of its own in "
                "Postgres, and times of the day (cron); take the trigger out if it is not needed"
            )
    ours = [one for one in triggers if one["type"] == "postgresql"]
    if not ours:
        raise InvalidResource(f"{name} has no postgresql trigger: there is no queue to convert")
    places = [_database(name, one, others) for one in ours]
    if any(place != places[0] for place in places):
        raise InvalidResource(
            f"{name} reads several databases: a QueueWorker reads one; convert it once for each"
        )
    database, why, asked = places[0]
    queues = tuple(dict.fromkeys(queue for one in ours for queue in _guessed(one)))
    windows, lost = _windows([one for one in triggers if one["type"] == "cron"])
    return Triggers(
        queues=queues or (name,),
        queues_why=" ".join(_queries(ours, guessed=bool(queues))),
        database=database,
        database_why=why,
        schedule=windows,
        asks=("queues: which queues do these workers serve? A query cannot tell for sure.", *asked),
        dropped=(*lost, *_dropped(ours)),
    )


def _fields(trigger: Body) -> Body:
    fields = trigger.get("metadata")
    return fields if isinstance(fields, Mapping) else {}


def _guessed(trigger: Body) -> Iterator[str]:
    for found in QUEUES.findall(str(_fields(trigger).get("query", ""))):
        yield from (
            queue for queue in re.findall(r"'([^']+)'", found) if QUEUE_NAME.fullmatch(queue)
        )


def _queries(triggers: Sequence[Body], *, guessed: bool) -> Iterator[str]:
    """Say what the query was; it goes, and what it divided by may be the slots."""
    yield "Guessed from the query." if guessed else "The query names none: this is the name alone."
    for trigger in triggers:
        query = " ".join(str(_fields(trigger).get("query", "")).split())
        shown = query if len(query) <= SHOWN else f"{query[: SHOWN - 1]}…"
        yield f"It was: {shown or 'missing'}."
        if divided := DIVIDED.search(query):
            yield (
                f"If the {divided[1]} it divides by are the jobs that a pod runs at once, the workers' "
                f"--concurrency says the same; slotsPerPod: {divided[1]} may say so before the first "
                "of them lives."
            )


def _database(
    name: str, trigger: Body, others: Sequence[Body]
) -> tuple[Body, str, tuple[str, ...]]:
    """Find the Secret with the whole connection string; else name what to write into one."""
    fields = _fields(trigger)
    reference = trigger.get("authenticationRef") or {}
    kind = str(reference.get("kind") or OF_NAMESPACE)
    if reference and kind == OF_NAMESPACE:
        found = _of_authentication(str(reference.get("name", "")), others)
        if found is not None:
            return _secret(*found), f"From {kind} {reference['name']}.", ()
    if variable := fields.get("connectionFromEnv"):
        found = _of_variable(str(variable), others)
        if found is not None:
            return _secret(*found), f"Where the Deployment takes {variable} from.", ()
    source = f"{kind} {reference.get('name')}" if reference else _place(fields)
    if reference and kind != OF_NAMESPACE:
        source += ", whose Secret is in KEDA's own namespace"
    asked = (
        f"database: write the connection string into Secret {name}-db, key dsn; it was in {source}"
    )
    why = (
        f"KEDA's connection was in {source}. Put postgresql://USER:PASSWORD@HOST/DATABASE of a role in "
        "queueworker_operator into this Secret."
    )
    return _secret(f"{name}-db", "dsn"), why, (asked,)


def _place(fields: Body) -> str:
    """Name the way in; never a value that may hold a password."""
    if variable := fields.get("connectionFromEnv"):
        return f"the variable {variable}"
    if fields.get("host"):
        port = f":{fields['port']}" if fields.get("port") else ""
        return f"its fields (user {fields.get('userName', '?')}, {fields['host']}{port}/{fields.get('dbName', '?')})"
    return "its metadata"


def _secret(name: str, key: str) -> Body:
    return {"secretRef": {"name": name, "key": key}}


def _of_authentication(name: str, others: Sequence[Body]) -> tuple[str, str] | None:
    for other in others:
        if other["kind"] == OF_NAMESPACE and other["metadata"]["name"] == name:
            for entry in (other.get("spec") or {}).get("secretTargetRef") or ():
                if entry.get("parameter") == "connection":
                    return str(entry["name"]), str(entry["key"])
    return None


def _of_variable(variable: str, others: Sequence[Body]) -> tuple[str, str] | None:
    for other in others:
        if other["kind"] != "Deployment":
            continue
        template = (other.get("spec") or {}).get("template") or {}
        for container in (template.get("spec") or {}).get("containers") or ():
            for entry in container.get("env") or ():
                found = (entry.get("valueFrom") or {}).get("secretKeyRef")
                if entry.get("name") == variable and found:
                    return str(found["name"]), str(found["key"])
    return None


def _windows(triggers: Sequence[Body]) -> tuple[tuple[Body, ...], tuple[str, ...]]:
    """Turn cron triggers into windows of a schedule; name those that cannot be."""
    windows, lost = [], []
    for trigger in triggers:
        fields = _fields(trigger)
        length = _minutes(str(fields.get("start", "")), str(fields.get("end", "")))
        wanted = str(fields.get("desiredReplicas", ""))
        if length is None or not wanted.isdecimal():
            lost.append(
                f"a cron trigger from {fields.get('start')!r} to {fields.get('end')!r}: its length is "
                "not plain; write it under schedule"
            )
            continue
        window: Body = {
            "cron": str(fields["start"]),
            "timezone": str(fields.get("timezone", "UTC")),
            "minReplicas": int(wanted),
            "duration": f"{length}m",
        }
        windows.append(window)
    return tuple(windows), tuple(lost)


def _minutes(start: str, end: str) -> int | None:
    """Give the length of a window that begins and ends at one time of the same days."""
    begins, ends = AT.fullmatch(start), AT.fullmatch(end)
    if begins is None or ends is None or begins[3] != ends[3]:
        return None
    first, last = (int(found[2]) * 60 + int(found[1]) for found in (begins, ends))
    return (last - first) % MINUTES_A_DAY or MINUTES_A_DAY


def _dropped(triggers: Sequence[Body]) -> Iterator[str]:
    for trigger in triggers:
        fields = _fields(trigger)
        if "targetQueryValue" in fields:
            yield (
                f"targetQueryValue {fields['targetQueryValue']}: pods follow from the promise, the "
                "arrivals and the times of jobs, not from a ratio"
            )
        if "activationTargetQueryValue" in fields:
            yield (
                f"activationTargetQueryValue {fields['activationTargetQueryValue']}: the first job "
                "starts the first pod, or it would be late"
            )
