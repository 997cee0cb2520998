"""`/livez`, `/readyz` and `/metrics` on one port, served by threads of their own.

A slow client costs one thread for a few seconds and never delays a probe.
"""

import socket
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from threading import Thread
from typing import ClassVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import make_wsgi_app

from queueworker.compat import override
from queueworker.errors import InvalidSetting

SOCKET_TIMEOUT_S = 5.0

Application = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]
Check = Callable[[], str | None]
"""Gives None when all is well, else the reason in words."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class _DualServer(_Server):
    """Also takes IPv4: a pod's address may be of either family, or it may have both."""

    address_family: int = socket.AF_INET6

    @override
    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(WSGIRequestHandler):
    timeout: ClassVar[float | None] = SOCKET_TIMEOUT_S

    @override
    def log_message(self, *_args: object) -> None:
        """Say nothing: a probe each second is no news."""


class HealthServer:
    """Answers probes and scrapes on `port`; 0 means any free one."""

    def __init__(self, *, port: int, is_live: Check, is_ready: Check) -> None:
        routes = {"/livez": is_live, "/readyz": is_ready}
        metrics: Application = make_wsgi_app()

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path = str(environ.get("PATH_INFO", ""))
            if path == "/metrics":
                return metrics(environ, start_response)
            return _answer(routes.get(path), start_response)

        self._server = _bind(port, application)
        self.port: int = self._server.server_port
        self._thread = Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="health",
            daemon=True,
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def _bind(port: int, application: Application) -> WSGIServer:
    is_dual = socket.has_dualstack_ipv6()
    try:
        return make_server(
            "::" if is_dual else "0.0.0.0",  # noqa: S104 - the kubelet probes the pod's address
            port,
            application,
            server_class=_DualServer if is_dual else _Server,
            handler_class=_Handler,
        )
    except OSError as exc:
        reason = exc.strerror or "it cannot be bound"
        raise InvalidSetting(
            f"port {port}: {reason}: choose another with --port or QUEUEWORKER_PORT (0: any free)"
        ) from exc


def _answer(check: Check | None, start_response: StartResponse) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    if check is None:
        start_response("404 Not Found", headers)
        return [b"try /livez, /readyz or /metrics\n"]
    reason = check()
    start_response("200 OK" if reason is None else "503 Service Unavailable", headers)
    return [f"{reason or 'ok'}\n".encode()]
