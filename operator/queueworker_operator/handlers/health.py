"""The operator's own HTTP port: /livez, /readyz and /metrics."""

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
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=15.0)
        await runner.setup()
        site = web.TCPSite(runner, None, port)
        try:
            await site.start()
        except OSError as exc:
            await runner.cleanup()
            raise InvalidSettings(
                f"port {port} cannot be opened ({exc.strerror}): give another one with --port"
            ) from exc
        return runner, _port_of(runner)

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


def _port_of(runner: web.AppRunner) -> int:
    return int(runner.addresses[0][1])
