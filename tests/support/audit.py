"""What accounts asked of a test's API server, by its own audit log, in the words of their roles."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.controlplane import ApiServer

Rights = dict[str, set[str]]
"""`resource/subresource.group` -> verbs, as `tests.support.chart.rights` gives what is granted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request; `resource` is empty for a path that is none, such as /apis."""

    user: str
    verb: str
    path: str
    status: int
    resource: str
    namespace: str
    name: str


def asked(server: ApiServer, user: str) -> list[Asked]:
    """List what `user` asked so far, in order; a watch is listed as it begins."""
    return [request for request in _all(server.audit_log) if request.user == user]


def account(namespace: str, name: str = "queueworker") -> str:
    """Name a service account as the API server does."""
    return f"system:serviceaccount:{namespace}:{name}"


def used(requests: Iterable[Asked]) -> Rights:
    """Give the rights that these requests took."""
    rights: Rights = {}
    for request in requests:
        if request.resource:
            rights.setdefault(request.resource, set()).add(request.verb)
    return rights


def _all(log: Path) -> Iterator[Asked]:
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        about = entry.get("objectRef", {})
        resource = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
        yield Asked(
            user=entry["user"]["username"],
            verb=entry["verb"],
            path=entry["requestURI"].partition("?")[0],
            status=entry.get("responseStatus", {}).get("code", 0),
            resource=f"{resource}.{about.get('apiGroup', '')}".rstrip(".") if resource else "",
            namespace=about.get("namespace", ""),
            name=about.get("name", ""),
        )
