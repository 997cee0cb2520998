"""A TCP proxy that does to a connection what a bad network does, on command.

It runs in a thread with a loop of its own. `plan` may be replaced at any time and holds from the
next bytes on; `cut_after` arms one cut at a marker.
"""

import asyncio
import random
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

T = TypeVar("T")
CHUNK_BYTES = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What happens to bytes in both directions.

    `loss` is the share of chunks that come `loss_delay_s` later, as TCP shows a lost packet.
    `cut_after_bytes` counts what a connection has carried: there it ends, inside a message or not;
    up to `cut_spread_bytes` later, by chance.
    """

    delay_s: float = 0.0
    loss: float = 0.0
    loss_delay_s: float = 0.3
    bytes_per_s: float | None = None
    cut_after_bytes: int | None = None
    cut_spread_bytes: int = 0
    is_silent: bool = False
    refuses: bool = False


GOOD = Plan()
SILENT = Plan(is_silent=True)


@dataclass(slots=True)
class _Trap:
    """Markers that are waited for in what clients send, or in what the server answers."""

    markers: tuple[bytes, ...]
    sent: threading.Event
    must_pass: bool = False
    is_of_server: bool = False
    is_armed: bool = True

    def holds(self, chunk: bytes, *, is_of_server: bool) -> bool:
        is_its_way = self.is_armed and self.is_of_server == is_of_server
        return is_its_way and any(marker in chunk for marker in self.markers)


class FaultProxy:
    """Listens on a port of `host` and forwards to `target`: (host, port), or a socket's path."""

    def __init__(
        self, target: tuple[str, int] | str, seed: int = 1, host: str = "127.0.0.1"
    ) -> None:
        self.plan = GOOD
        self.accepted = 0
        self.port = 0
        self.host = host
        self._target = target
        self._random = random.Random(seed)
        self._trap: _Trap | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._hushed: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._in_loop(asyncio.start_server(self._serve, self.host, 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._in_loop(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def client_ports(self) -> list[int]:
        """Give the ports of the clients that are connected."""
        peers = [writer.get_extra_info("peername") for writer in list(self._writers)]
        return [peer[1] for peer in peers if isinstance(peer, tuple)]

    def retarget(self, target: tuple[str, int] | str) -> None:
        """Lead new connections elsewhere."""
        self._target = target

    def cut_all(self) -> None:
        """End every connection now."""
        self._in_loop(self._cut_all())

    def cut_at(self, *markers: bytes, must_pass: bool = True) -> threading.Event:
        """End one connection when a client sends a marker: after it was passed on, or before.

        What the server answers is lost in either case. Gives an event that tells of the cut.
        """
        return self._set_trap(_Trap(markers, threading.Event(), must_pass=must_pass))

    def cut_answer(self, *markers: bytes) -> threading.Event:
        """End one connection in place of the answer that holds a marker: it was committed."""
        return self._set_trap(_Trap(markers, threading.Event(), is_of_server=True))

    def hush(self) -> None:
        """Swallow everything on the connections that are open now; new ones are good."""
        self._hushed |= self._writers

    def _set_trap(self, trap: _Trap) -> threading.Event:
        self._trap = trap
        return trap.sent

    def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _stop(self) -> None:
        self._server.close()
        await self._cut_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _cut_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.plan.refuses:
                writer.transport.abort()
                return
            await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(self._target, str):
            upstream, onward = await asyncio.open_unix_connection(self._target)
        else:
            upstream, onward = await asyncio.open_connection(*self._target)
        both = {writer, onward}
        self._writers |= both
        carried = [0, self._random.randrange(1000)]
        try:
            await asyncio.gather(
                self._pump(reader, onward, carried, writer),
                self._pump(upstream, writer, carried, None),
            )
        finally:
            self._writers -= both
            self._hushed -= both
            for end in both:
                end.transport.abort()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        carried: list[int],
        client: asyncio.StreamWriter | None,
    ) -> None:
        """Carry bytes one way; `client` is given for the way to the server."""
        with suppress(OSError):
            while chunk := await source.read(CHUNK_BYTES):
                if self.plan.is_silent or sink in self._hushed:
                    continue  # swallowed, though the kernel acknowledges it: a half-open connection
                trap = self._trap
                if trap is not None and trap.holds(chunk, is_of_server=client is None):
                    await self._spring(trap, chunk, sink, sink if client is None else client)
                    return
                await self._hold_up(len(chunk))
                carried[0] += len(chunk)
                limit = self._limit(carried[1])
                if limit is not None and carried[0] > limit:
                    sink.write(chunk[: max(0, len(chunk) - (carried[0] - limit))])
                    await sink.drain()
                    sink.close()
                    return
                sink.write(chunk)
                await sink.drain()
            sink.close()

    async def _spring(
        self,
        trap: _Trap,
        chunk: bytes,
        sink: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        """Cut the client off at once; the server reads what was passed before it sees an end."""
        trap.is_armed = False
        if trap.must_pass:
            sink.write(chunk)
            await sink.drain()
        client.transport.abort()
        if sink is not client:
            sink.close()
        trap.sent.set()

    def _limit(self, per_mille: int) -> int | None:
        plan = self.plan
        if plan.cut_after_bytes is None:
            return None
        return plan.cut_after_bytes + plan.cut_spread_bytes * per_mille // 1000

    async def _hold_up(self, size_bytes: int) -> None:
        plan = self.plan
        wait_s = plan.delay_s
        if plan.loss and self._random.random() < plan.loss:
            wait_s += plan.loss_delay_s
        if plan.bytes_per_s:
            wait_s += size_bytes / plan.bytes_per_s
        if wait_s:
            await asyncio.sleep(wait_s)


def through(dsn: str, proxy: FaultProxy) -> str:
    """Give the same database's DSN by way of the proxy."""
    kept = [part for part in dsn.split() if not part.startswith(("host=", "port="))]
    return " ".join([f"host={proxy.host} port={proxy.port}", *kept])


def socket_of(dsn: str) -> str:
    """Give the path of the unix socket that a DSN names."""
    return f"{dict(part.split('=', 1) for part in dsn.split())['host']}/.s.PGSQL.5432"
