"""TLS in front of a Postgres that was built without it: what a client sees of a managed one."""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.streams import copy, end

SSL_REQUEST = bytes([0, 0, 0, 8, 4, 210, 22, 47])


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsAddress:
    """Where the proxy listens, and the certificate that proves it is `localhost`."""

    port: int
    certificate: Path


@contextmanager
def tls_in_front_of(socket_path: str, folder: Path) -> Iterator[TlsAddress]:
    """Take TLS connections for the server at a unix socket, for the length of a block."""
    certificate, key = self_signed(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(_listen(socket_path, context), loop).result(10)
    try:
        port = server.sockets[0].getsockname()[1]
        yield TlsAddress(port=port, certificate=certificate)
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of `localhost`, and its key."""
    certificate, key = folder / "server.crt", folder / "server.key"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


async def _listen(socket_path: str, context: ssl.SSLContext) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await _pass_on(reader, writer, socket_path, context)
        writer.close()

    return await asyncio.start_server(serve, "localhost", 0, family=2)


async def _pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    socket_path: str,
    context: ssl.SSLContext,
) -> None:
    """Insist on TLS, as a server with `force_ssl` does, then copy both ways."""
    if await reader.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
        return
    writer.write(b"S")
    await writer.start_tls(context)
    server_reader, server_writer = await asyncio.open_unix_connection(socket_path)
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(copy(reader, server_writer))
            both.create_task(copy(server_reader, writer))
    finally:
        server_writer.close()
