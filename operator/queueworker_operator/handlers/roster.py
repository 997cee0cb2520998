"""The QueueWorkers as the watch stream last showed them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from queueworker_operator.errors import InvalidResource
from queueworker_operator.kube.api import version_of
from queueworker_operator.resource import ResourceSpec, key_of, parse

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One QueueWorker: its spec, or why it has none that could be acted on."""

    uid: str
    generation: int
    version: int
    status: Mapping[str, Any]
    spec: ResourceSpec | None
    refusal: InvalidResource | None = None


class Roster:
    """All QueueWorkers by key ("namespace/name")."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}

    def put(self, body: Body) -> bool:
        """Take a body; tell whether there is something new to act on (a status is not)."""
        key, member = key_of(body), member_of(body)
        before = self._members.get(key)
        if before is not None and member.version < before.version:
            return False
        self._members[key] = member
        return before is None or (before.uid, before.generation) != (member.uid, member.generation)

    def drop(self, key: str, uid: str | None = None) -> bool:
        """Forget a deleted one; tell whether it was known. One made anew has another `uid`."""
        member = self._members.get(key)
        if member is None or uid not in (None, member.uid):
            return False
        del self._members[key]
        return True

    def get(self, key: str) -> Member | None:
        """Give one, if it exists."""
        return self._members.get(key)

    def names(self) -> Collection[str]:
        """Name all."""
        return tuple(self._members)

    def members(self) -> list[tuple[str, Member]]:
        """List all with their names."""
        return list(self._members.items())

    def specs(self) -> list[ResourceSpec]:
        """List the specs that can be acted on."""
        return [member.spec for member in self._members.values() if member.spec is not None]

    def targets(self, deployment: tuple[str, str]) -> bool:
        """Tell whether any of them scales `deployment`."""
        return any((spec.namespace, spec.target_name) == deployment for spec in self.specs())


def member_of(body: Body) -> Member:
    """Read a body; an invalid one is a member with a refusal, never an exception."""
    meta = body.get("metadata") or {}
    spec, refusal = None, None
    try:
        spec = parse(body)
    except InvalidResource as exc:
        refusal = exc
    return Member(
        uid=str(meta.get("uid", "")),
        generation=int(meta.get("generation") or 0),
        version=version_of(body),
        status=body.get("status") or {},
        spec=spec,
        refusal=refusal,
    )
