"""An HTTPS proxy before an API server that refuses, hangs, loses and repeats, on command.

It shows the server's own certificate, so a kubeconfig needs another port and nothing else. All
that passes is kept in `seen`. It runs in a thread with a loop of its own.
"""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from tests.support.controlplane import ApiServer

T = TypeVar("T")
MOST_BYTES = 64 * 2**20
NOT_PASSED_ON = {"transfer-encoding", "content-length", "connection", "host"}
WRITES = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request; `status` is 0 and `answer` empty until the server has answered."""

    method: str
    path: str
    query: str
    body: bytes
    at_s: float
    status: int = 0
    answer: bytes = b""

    @property
    def is_write(self) -> bool:
        return self.method in WRITES

    @property
    def is_watch(self) -> bool:
        return "watch=" in self.query

    @property
    def is_scale(self) -> bool:
        return self.is_write and self.path.endswith("/scale")


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens to requests that match, the first `times` of them (None: to all).

    `before` and `after` are called as the request arrives, and as its answer is about to leave.
    `lines` gives for each line of a watch what is passed on in its place.
    """

    matches: Callable[[Seen], bool]
    times: int | None = None
    status: int | None = None
    retry_after_s: int | None = None
    hangs: bool = False
    cuts_before: bool = False
    cuts_after: bool = False
    delay_s: float = 0.0
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    lines: Callable[[bytes], Sequence[bytes]] | None = None
    hit: threading.Event = field(default_factory=threading.Event)

    def takes(self, seen: Seen) -> bool:
        if self.times == 0 or not self.matches(seen):
            return False
        if self.times is not None:
            self.times -= 1
        self.hit.set()
        return True


class ApiProxy:
    """Listens on loopback and forwards to `server`; `fault` is what goes wrong now."""

    def __init__(self, server: ApiServer) -> None:
        self.fault: Fault | None = None
        self.seen: list[Seen] = []
        self.url = ""
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: set[asyncio.Transport] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._in_loop(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._in_loop(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut_all(self) -> None:
        """End every connection now."""
        self._loop.call_soon_threadsafe(self._abort)

    def scales(self) -> list[Seen]:
        """Give the writes to `/scale` that the server accepted."""
        return [seen for seen in self.seen if seen.is_scale and seen.status < 300 and seen.status]

    def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        trusted = ssl.create_default_context(cafile=str(self._server.certificate))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusted, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=8 * 2**20,
            auto_decompress=False,
        )
        application = web.Application(client_max_size=MOST_BYTES)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        key = self._server.certificate.with_suffix(".key")
        shown.load_cert_chain(self._server.certificate, key)
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=shown)
        await site.start()
        self.url = f"https://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        self._abort()
        await self._runner.cleanup()
        await self._session.close()

    def _abort(self) -> None:
        for transport in list(self._open):
            transport.abort()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        url = urlsplit(request.path_qs)
        seen = Seen(
            method=request.method,
            path=url.path,
            query=url.query,
            body=await request.read(),
            at_s=time.time(),
        )
        self.seen.append(seen)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self._open.add(transport)
        try:
            return await self._treat(request, seen)
        finally:
            self._open.discard(transport)

    async def _treat(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        fault = self.fault
        if fault is None or not fault.takes(seen):
            return await self._forward(request, seen, None)
        if fault.before:
            fault.before()
        if fault.hangs:
            await asyncio.sleep(3600)
        await asyncio.sleep(fault.delay_s)
        if fault.cuts_before:
            _cut(request)
        if fault.status is not None:
            return _refusal(fault)
        return await self._forward(request, seen, fault)

    async def _forward(
        self, request: web.Request, seen: Seen, fault: Fault | None
    ) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in NOT_PASSED_ON}
        async with self._session.request(
            seen.method,
            self._server.url + request.path_qs,
            headers=headers,
            data=seen.body or None,
            skip_auto_headers=["Content-Type", "Accept-Encoding"],
        ) as upstream:
            kept = {k: v for k, v in upstream.headers.items() if k.lower() not in NOT_PASSED_ON}
            if seen.is_watch:
                response = web.StreamResponse(status=upstream.status, headers=kept)
                await response.prepare(request)
                await self._stream(upstream, response)
                return response
            seen.answer = await upstream.read()
            seen.status = upstream.status
        if fault is not None and fault.after:
            fault.after()
        if fault is not None and fault.cuts_after:
            _cut(request)
        return web.Response(status=seen.status, headers=kept, body=seen.answer)

    async def _stream(self, upstream: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        async for line in upstream.content:
            fault = self.fault
            given = fault.lines(line) if fault is not None and fault.lines else [line]
            for one in given:
                await response.write(one)


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError


def _refusal(fault: Fault) -> web.Response:
    headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "the fault proxy refuses",
        "reason": {410: "Expired", 429: "TooManyRequests"}.get(fault.status or 0, "InternalError"),
        "code": fault.status,
    }
    text = json.dumps(body)
    return web.Response(
        status=fault.status or 500, headers=headers, text=text, content_type="application/json"
    )
