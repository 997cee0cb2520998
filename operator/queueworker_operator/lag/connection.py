"""One connection that comes back by itself; every call has a deadline."""

import asyncio
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag.bounded import BoundedConnection as Connection
from queueworker_operator.lag.bounded import Row, check_rows, open_bounded
from queueworker_operator.lag.refusal import is_broken, unavailable
from queueworker_operator.lag.sql import statement
from queueworker_operator.settings import DatabaseSettings
from queueworker_operator.text import printable

logger = logging.getLogger(__name__)

# A half-open connection is noticed within 10 s: 5 s idle, then two probes of 2 s.
DEFAULTS: Mapping[str, str] = {
    "application_name": "queueworker-operator",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "target_session_attrs": "read-write",
}
DEADLINE_MARGIN_S = 0.5
NOT_A_DSN = "the DSN cannot be parsed: check the Secret"
MISPLACED = f"{NOT_A_DSN}; write / and @ of a password as %2F and %40"
NO_HOST_NAME = "that is no host's name: check the Secret"
LONGEST_SHOWN = 100
PORTS = re.compile(r"[\d,]*")


def parameters(dsn: str) -> dict[str, Any]:
    """Parse a DSN and add what it leaves open.

    Raises:
        LagUnavailable: it is no DSN; the message does not quote it.
    """
    try:
        given = {**DEFAULTS, **conninfo_to_dict(dsn)}
    except (psycopg.Error, UnicodeError):
        raise LagUnavailable(NOT_A_DSN) from None
    # libpq takes a raw / or @ as the password's end: its rest would be shown as host or database.
    host, name = str(given.get("host", "")), str(given.get("dbname", ""))
    if "@" in host[1:] + name or not PORTS.fullmatch(str(given.get("port", ""))):
        raise LagUnavailable(MISPLACED)
    return given


def describe(given: Mapping[str, Any]) -> str:
    """Name a database without its user or password, in one short line whatever it is called."""
    host = given.get("host") or "localhost"
    place = host if "port" not in given else f"{host}:{given['port']}"
    name = given.get("dbname") or given.get("user") or "(default)"
    return f"database {_shown(str(name))} at {_shown(str(place))}"


def _shown(text: str) -> str:
    """Keep line ends and terminal codes out of logs, and what is endless short."""
    plain = printable(text)
    return plain if len(plain) <= LONGEST_SHOWN else f"{plain[:LONGEST_SHOWN]}..."


async def connect(dsn: str, settings: DatabaseSettings) -> Connection:
    """Open a session whose statements are bounded on the server too.

    Raises:
        LagUnavailable: within `connect_timeout_s`, with the reason and the remedy.
    """
    given = parameters(dsn)
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            connection = await open_bounded(given)
            await bound(connection, settings)
            return connection
    except UnicodeError:  # a part of a host name is empty or longer than 63 characters
        raise LagUnavailable(f"{describe(given)}: {NO_HOST_NAME}") from None
    except psycopg.Error as exc:
        # `from None`: the original may quote parts of the DSN.
        raise unavailable(exc, describe(given)) from None
    except (TimeoutError, OSError):
        raise LagUnavailable(
            f"{describe(given)}: no connection within {settings.connect_timeout_s:g} s: "
            "check that the host is up and reachable"
        ) from None


async def bound(connection: Connection, settings: DatabaseSettings) -> None:
    """Bound the session's statements; a session that cannot be bounded is closed."""
    try:
        timeout_ms = round(settings.call_timeout_s * 1000)
        await connection.execute(statement("session"), {"timeout_ms": timeout_ms})
    except BaseException:  # a cancellation too must not leave it open
        await connection.close()
        raise


def cut(connection: Connection) -> None:
    """Make a hanging call fail now. Cancelling it would first ask the silent server to cancel."""
    try:
        with socket.socket(fileno=os.dup(connection.pgconn.socket)) as twin:
            twin.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error):
        logger.debug("the connection was closed already")


class Database:
    """Runs one statement at a time; connects when needed, at most once a second."""

    def __init__(
        self,
        dsn: str,
        settings: DatabaseSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._settings = settings
        self._clock = clock
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._is_away = False
        self._retry_at_s = clock()
        self._refusal = LagUnavailable("not connected yet")
        self.is_up = asyncio.Event()

    async def fetch(self, name: str, values: Mapping[str, Any]) -> Sequence[Row]:
        """Run queries/NAME.sql and give its rows.

        Raises:
            LagUnavailable: in bounded time, with the reason and the remedy.
        """
        async with self._lock:
            connection = await self._connected()
            deadline = asyncio.get_running_loop().call_later(
                self._settings.call_timeout_s + DEADLINE_MARGIN_S, cut, connection
            )
            try:
                cursor = await connection.execute(statement(name), values)
                check_rows(cursor.rowcount)
                return await cursor.fetchall()
            except psycopg.Error as exc:
                error = unavailable(exc, describe(parameters(self._dsn)))
                if is_broken(exc) or connection.closed:
                    await self._drop(error)
                raise error from None
            finally:
                deadline.cancel()

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        async with self._lock:
            self.is_up.clear()
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        started_at_s = self._clock()
        if started_at_s < self._retry_at_s:
            raise self._refusal
        # Whether it succeeds or not: a server that takes sessions and ends them is not hurried either.
        self._retry_at_s = started_at_s + self._settings.retry_s
        try:
            self._connection = await connect(self._dsn, self._settings)
            # Nothing listens here: what a server notifies all the same is not kept.
            self._connection.add_notify_handler(lambda _: None)
        except LagUnavailable as exc:
            if not self._is_away:
                logger.warning("no connection: %s", exc)
            self._is_away, self._refusal = True, exc
            raise
        if self._is_away:
            logger.info("%s: connected again", describe(parameters(self._dsn)))
        self._is_away = False
        self.is_up.set()
        return self._connection

    async def _drop(self, error: LagUnavailable) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        self.is_up.clear()
        self._refusal = error
        logger.warning("connection lost: %s", error)
