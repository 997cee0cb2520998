"""Servers that a connection string may lead to, and what they hear: none of them is a database."""

import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Self

ASKS_FOR_PASSWORD = b"R" + struct.pack("!ii", 8, 3)  # AuthenticationCleartextPassword
WAITS_S = 5.0


@dataclass(slots=True)
class HostileServer:
    """Listens on loopback, gives `answer` to whoever speaks, and keeps all that it `heard`."""

    answer: bytes
    port: int = 0
    heard: bytearray = field(default_factory=bytearray)
    _listener: socket.socket = field(init=False)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            with caller:
                self._talk(caller)

    def _talk(self, caller: socket.socket) -> None:
        caller.settimeout(WAITS_S)
        try:
            self.heard += caller.recv(65536)
            caller.sendall(self.answer)
            self.heard += caller.recv(65536)
        except OSError:
            return
