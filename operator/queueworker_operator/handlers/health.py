"""The operator's own HTTP port: /livez, /readyz and /metrics."""

import os
import socket
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from queueworker_operator.errors import InvalidSettings

STALLED_S = 60.0


class Health:
    """What the probes answer.

    Args:
        clock: Monotonic seconds.
        ticked_at_s: When each loop last ended a tick.
        registry: The metrics.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        ticked_at_s: Callable[[], list[float]],
        registry: CollectorRegistry,
    ) -> None:
        self._clock = clock
        self._ticked_at_s = ticked_at_s
        self._registry = registry
        self.synced = False

    async def serve(self, port: int) -> tuple[web.AppRunner, int]:
        """Open the port (0: any free one); give what to clean up, and the port.

        Raises:
            InvalidSettings: the port cannot be opened.
        """
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        listener = open_port(port)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=15.0)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        return runner, int(listener.getsockname()[1])

    async def _livez(self, _: web.Request) -> web.Response:
        """Fail when a loop has not ended a tick for a minute: a restart may help."""
        ages_s = [self._clock() - at_s for at_s in self._ticked_at_s()]
        oldest_s = max(ages_s, default=0.0)
        if oldest_s > STALLED_S:
            return web.Response(status=503, text=f"a loop has stood still for {oldest_s:.0f} s\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        """Succeed once the caches are filled; a standby is ready too."""
        if not self.synced:
            return web.Response(status=503, text="the caches are not filled yet\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def open_port(port: int) -> socket.socket:
    """Listen on all addresses, by one socket: port 0 must be the same for IPv4 and IPv6.

    Raises:
        InvalidSettings: the port cannot be opened.
    """
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as exc:
        why = os.strerror(exc.errno) if exc.errno else "refused"
        raise InvalidSettings(
            f"port {port} cannot be opened ({why}): give another one with --port"
        ) from exc
