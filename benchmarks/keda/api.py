"""Calls and watches of the Kubernetes API from threads, as the administrator."""

import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.support.controlplane import ApiServer

from benchmarks.errors import ProgramFailed

Body = dict[str, Any]

NAMESPACE = "bench"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
MERGE_PATCH = "application/merge-patch+json"
CALL_WITHIN_S, WATCH_FOR_S = 30, 7200
NOT_FOUND, REFUSED = 404, 400


class Api:
    """One API server; each thread keeps a connection of its own."""

    def __init__(self, server: ApiServer) -> None:
        self._place = urlsplit(server.url)
        self._tls = ssl.create_default_context(cafile=str(server.certificate))
        self._token = server.token
        self._own = threading.local()

    def get(self, path: str) -> Body:
        """Read one object or a list."""
        return self._call("GET", path)

    def create(self, path: str, body: Mapping[str, object]) -> Body:
        """Create an object."""
        return self._call("POST", path, body)

    def patch(self, path: str, body: Mapping[str, object]) -> Body:
        """Change some fields of an object; one that is gone stays gone."""
        return self._call("PATCH", path, body)

    def delete(self, path: str, body: Mapping[str, object] | None = None) -> None:
        """Delete an object; one that is gone is no error."""
        self._call("DELETE", path, body)

    def watch(self, path: str) -> Iterator[tuple[str, Body]]:
        """Give what is there as ADDED, then each change, until the server ends."""
        link = self._connect(None)
        try:
            link.request(
                "GET", f"{path}?watch=1&timeoutSeconds={WATCH_FOR_S}", headers=self._headers(None)
            )
            answer = link.getresponse()
            while line := answer.readline():
                event = json.loads(line)
                yield event["type"], event["object"]
        except OSError:
            return  # the server is stopped before its watchers
        finally:
            link.close()

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Body:
        link: http.client.HTTPSConnection | None = getattr(self._own, "link", None)
        for fresh in (link is None, True):
            if fresh or link is None:
                link = self._own.link = self._connect(CALL_WITHIN_S)
            try:
                link.request(
                    method,
                    path,
                    body=None if body is None else json.dumps(body),
                    headers=self._headers(MERGE_PATCH if method == "PATCH" else "application/json"),
                )
                answer = link.getresponse()
                text = answer.read()
            except (http.client.HTTPException, ConnectionError):
                if fresh:
                    raise
                continue
            return _decoded(method, path, answer.status, text)
        raise AssertionError

    def _connect(self, within_s: float | None) -> http.client.HTTPSConnection:
        host, port = self._place.hostname or "", self._place.port
        return http.client.HTTPSConnection(host, port, context=self._tls, timeout=within_s)

    def _headers(self, content: str | None) -> dict[str, str]:
        more = {} if content is None else {"Content-Type": content}
        return {"Authorization": f"Bearer {self._token}", "Accept": "application/json", **more}


def _decoded(method: str, path: str, status: int, text: bytes) -> Body:
    if status == NOT_FOUND and method in ("DELETE", "PATCH"):
        return {}
    if status >= REFUSED:
        raise ProgramFailed(
            f"{method} {path}: HTTP {status}: {text[:500].decode(errors='replace')}"
        )
    decoded: Body = json.loads(text)
    return decoded
