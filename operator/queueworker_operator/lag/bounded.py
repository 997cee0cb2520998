"""A connection that reads no more than an honest answer has: a hostile server must not fill the memory.

libpq keeps a whole message, and a whole result, before anybody may look at it; nothing of SQL binds a server
that lies. So the kernel's own count of what came is looked at each time that libpq has read: past the bound,
the call fails and the connection is closed. Within one message libpq reads on as long as more is there, so a
value of many megabytes from a server that is as fast as the reader is seen only when it pauses. Unix sockets have
no count: whoever may listen on one is trusted.
"""

import os
import socket
import struct
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import dict_row

from queueworker_operator.text import counted

Answer = TypeVar("Answer")
Row = dict[str, Any]

# A queue's row is about 1.5 kB, and all queues of a database are read at once.
MOST_BYTES = 24 << 20
MOST_ROWS = 20_000
# libpq reads on while more is there: a small window makes it pause, and lets the count be looked at.
WINDOW_BYTES = 256 << 10
# struct tcp_info of Linux, 4.1 and newer: tcpi_bytes_received.
RECEIVED_AT, INFO_BYTES = 128, 136


class AnswerTooLarge(psycopg.OperationalError):
    """The server sent more than any honest answer has; the connection is of no more use."""


class BoundedConnection(psycopg.AsyncConnection[Row]):
    """Fails with `AnswerTooLarge` where one call's answer passes MOST_BYTES."""

    async def wait(self, gen: PQGen[Answer], *args: Any, **kwargs: Any) -> Answer:  # type: ignore[explicit-override]
        """Run one exchange with the server, counted."""
        return await super().wait(_counted(gen, self.pgconn.socket), *args, **kwargs)


async def open_bounded(given: dict[str, Any]) -> BoundedConnection:
    """Connect with libpq's parameters."""
    connection = await BoundedConnection.connect(
        **given,
        autocommit=True,
        row_factory=dict_row,
        prepare_threshold=None,  # a pooler may move us to another server connection
    )
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
    return connection


def check_rows(count: int) -> None:
    """Refuse rows that are too many, before each becomes an object.

    Raises:
        AnswerTooLarge: there are more than MOST_ROWS.
    """
    if count > MOST_ROWS:
        raise AnswerTooLarge(counted(count, "row"))


def _counted(gen: PQGen[Answer], descriptor: int) -> PQGen[Answer]:
    began = _received(descriptor)
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            wanted = gen.send(ready)
            _check_bytes(_received(descriptor) - began)
    except StopIteration as ended:
        _check_bytes(_received(descriptor) - began)
        answer: Answer = ended.value
        return answer


def _check_bytes(count: int) -> None:
    if count > MOST_BYTES:
        raise AnswerTooLarge(f"{count} bytes")


def _received(descriptor: int) -> int:
    """Count the bytes that ever came; 0 where nothing counts them."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            info = twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
    except OSError:  # no TCP, or closed
        return 0
    if len(info) < INFO_BYTES:
        return 0
    count: int = struct.unpack_from("=Q", info, RECEIVED_AT)[0]
    return count
