"""An HTTP proxy that wants a password, and leads each CONNECT to one port of loopback."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.streams import copy, end

LOGIN = "someone:of-the-proxy"
ADMITTED = f"Basic {base64.b64encode(LOGIN.encode()).decode()}"


@dataclass(slots=True, kw_only=True)
class ConnectProxy:
    """The proxy's address, and the places that were asked for with the right password."""

    to_port: int
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{LOGIN}@127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, place, _ = head.split(" ", 2)
            if method == "CONNECT" and f"Proxy-Authorization: {ADMITTED}" in head:
                self.asked.append(place)
                await self._pass_on(reader, writer)
            else:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(copy(reader, server_writer))
                both.create_task(copy(server_reader, writer))
        finally:
            server_writer.close()


@contextmanager
def connect_proxy(to_port: int) -> Iterator[ConnectProxy]:
    """Serve for the length of a block."""
    proxy = ConnectProxy(to_port=to_port)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    server = asyncio.run_coroutine_threadsafe(listening, loop).result(10)
    try:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
