"""The administrator's calls over one kept connection, where a kubectl for each would be too slow."""

import http.client
import json
import ssl
from typing import Self
from urllib.parse import urlsplit

from tests.support.mail import Body, Place

GROUPS = {"queueworkers": "queueworker.dev/v1alpha1", "deployments": "apps/v1"}


class KeptConnection:
    """Reads and patches objects of a namespace; for one thread. Use it as a context."""

    def __init__(self, place: Place) -> None:
        server, self._namespace = place.server, place.namespace
        where = urlsplit(server.url)
        trusted = ssl.create_default_context(cafile=str(server.certificate))
        assert where.hostname
        self._http = http.client.HTTPSConnection(
            where.hostname, where.port, timeout=20, context=trusted
        )
        self._token = server.token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, kind: str, name: str) -> Body:
        return self._call("GET", kind, name)

    def patch(self, kind: str, name: str, change: Body) -> None:
        self._call("PATCH", kind, name, json.dumps(change))

    def _call(self, method: str, kind: str, name: str, body: str | None = None) -> Body:
        path = f"/apis/{GROUPS[kind]}/namespaces/{self._namespace}/{kind}/{name}"
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/merge-patch+json",
        }
        self._http.request(method, path, body, headers)
        answer = self._http.getresponse()
        told: Body = json.loads(answer.read())
        assert answer.status == http.HTTPStatus.OK, told
        return told
