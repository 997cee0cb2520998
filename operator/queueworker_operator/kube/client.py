"""A small client of the Kubernetes API: JSON in, JSON out, a deadline on every call.

The official client's asynchronous half was measured: 55 MiB and 0.9 s of imports, 126 MB of
image, for a dozen calls. kopf brings aiohttp anyway.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

from queueworker_operator.errors import (
    AccessDenied,
    ClusterUnavailable,
    ObjectChanged,
    ObjectMissing,
)
from queueworker_operator.kube.credentials import Credentials

MERGE_PATCH = "application/merge-patch+json"
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PAGE = 500
DEADLINE_S = 4.0  # shorter than what a lease lasts beyond its holder (see leader.py)
CONNECT_S = 5.0
MOST_HELD_S = 60.0
CONNECTIONS, TURNS = 20, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `verb` and `what` are the words of RBAC, for messages."""

    method: str
    path: str
    verb: str
    what: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = JSON

    @property
    def place(self) -> str:
        """Say where the call looks or writes."""
        parts = self.path.split("/")
        if "namespaces" not in parts[:-1]:
            return "in the whole cluster"
        return f"in namespace {parts[parts.index('namespaces') + 1]}"


# What to do where a call is refused: the operator and a person at kubectl are granted by others.
Remedy = Callable[[Call], str]


class Client:
    """One session with one API server.

    Every call raises AccessDenied, ObjectMissing, ObjectChanged (409) or ClusterUnavailable
    (429, 5xx, no answer in time), and nothing else. What was answered with a Retry-After is not
    asked again before. An AccessDenied says what was refused, and ends with its `remedy`.

    Calls that come by the hundred each wait for one of the `turns`: what is sent then does not use
    its deadline up in the queue for a connection, and some are left for the lease and `/scale`.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        remedy: Remedy | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._credentials = credentials
        self._remedy = remedy
        self._deadline_s = deadline_s
        self.turns = asyncio.Semaphore(TURNS)
        self._session: aiohttp.ClientSession | None = None
        self._held_until_s: dict[tuple[str, str], float] = {}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._credentials.ssl_context(), limit=CONNECTIONS)
        timeout = aiohttp.ClientTimeout(total=self._deadline_s, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            headers=self._credentials.acts_as,
            proxy=self._credentials.proxy,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def server(self) -> str:
        """Where the API server is."""
        return self._credentials.server

    async def send(self, call: Call) -> dict[str, Any]:
        """Make one call and give its decoded answer."""
        try:
            return await self._sent(call)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise ClusterUnavailable(
                f"the Kubernetes API at {self.server} does not answer ({_cause(exc)}): "
                "check the address and the network"
            ) from exc

    async def list_all(
        self, path: str, what: str, accept: str = JSON, selector: str = ""
    ) -> AsyncIterator[dict[str, Any]]:
        """List a collection, a page at a time in memory; the items lack kind and apiVersion."""
        asked = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        query = asked
        while True:
            call = Call(method="GET", path=path, verb="list", what=what, query=query, accept=accept)
            page = await self.send(call)
            for item in page.get("items") or ():
                yield item
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return
            query = {**asked, "continue": more}

    async def _sent(self, call: Call) -> dict[str, Any]:
        if self._session is None:
            raise ClusterUnavailable("the session with the Kubernetes API is closed")
        self._check_held(call)
        headers = {"Accept": call.accept}
        if token := self._credentials.bearer():
            headers["Authorization"] = f"Bearer {token}"
        if call.body is not None:
            headers["Content-Type"] = MERGE_PATCH if call.method == "PATCH" else JSON
        async with (
            asyncio.timeout(self._deadline_s),
            self._session.request(
                call.method,
                self.server + call.path,
                params=dict(call.query),
                data=None if call.body is None else json.dumps(call.body),
                headers=headers,
                server_hostname=self._credentials.server_name,
            ) as response,
        ):
            text = await response.text()
            if response.status >= 400:  # noqa: PLR2004 an HTTP error
                self._hold(call, response.headers.get("Retry-After", ""))
                raise _error(call, response.status, text, self._remedy)
            return _decoded(text)

    def _hold(self, call: Call, retry_after: str) -> None:
        """Note how long the server wants to be spared this call; only seconds are understood."""
        if retry_after.isdecimal():
            wait_s = min(float(retry_after), MOST_HELD_S)
            self._held_until_s[call.method, call.path] = time.monotonic() + wait_s

    def _check_held(self, call: Call) -> None:
        now_s = time.monotonic()
        self._held_until_s = {k: until for k, until in self._held_until_s.items() if until > now_s}
        until_s = self._held_until_s.get((call.method, call.path), now_s)
        if until_s > now_s:
            raise ClusterUnavailable(
                f"the Kubernetes API asked to wait {until_s - now_s:.0f} s longer before the next "
                f"{call.verb} of {call.what}"
            )


def _decoded(text: str) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError as exc:
        raise ClusterUnavailable("the Kubernetes API answered something else than JSON") from exc
    return answer if isinstance(answer, dict) else {}


def _error(call: Call, status: int, text: str, remedy: Remedy | None) -> Exception:
    match status:
        case 401:
            return AccessDenied(
                "the Kubernetes API does not know us: renew the token or kubeconfig"
            )
        case 403:
            refused = f"not allowed to {call.verb} {call.what} {call.place} ({call.path})"
            return AccessDenied(refused, remedy(call) if remedy else "")
        case 404:
            return ObjectMissing(f"{call.what} not found ({call.path})")
        case 409:
            return ObjectChanged(f"{call.what} changed meanwhile ({call.path})")
        case _:
            return ClusterUnavailable(
                f"the Kubernetes API refused to {call.verb} {call.what}: HTTP {status} {_reason(text)}"
            )


def _reason(text: str) -> str:
    """Give the API server's own words, shortened; it never echoes a Secret's content."""
    try:
        return str(json.loads(text).get("message", ""))[:300]
    except (ValueError, AttributeError):
        return ""


def _cause(exc: BaseException) -> str:
    return "no answer in time" if isinstance(exc, TimeoutError) else type(exc).__name__
