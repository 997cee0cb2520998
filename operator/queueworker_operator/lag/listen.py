"""Wake-ups from the database: LISTEN on a connection of its own, with polling behind it."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

import psycopg

from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag import Wake
from queueworker_operator.lag.bounded import BoundedConnection as Connection
from queueworker_operator.lag.connection import connect
from queueworker_operator.lag.sql import statement
from queueworker_operator.settings import DatabaseSettings

logger = logging.getLogger(__name__)

# A queue's own changes count too: its first job makes its row, a pause changes its backlog.
WAKING = frozenset({"job", "queue"})
RETRY_MIN_S = 1.0
RETRY_MAX_S = 30.0


class Listener:
    """Sets an event when a queue got a ready job, was made, or was paused; `grade` says which.

    It connects only while `is_up` is set (the database answers queries), so a database that is
    away is asked by one connection alone. Without it the loop still reads once a second.
    """

    def __init__(
        self,
        dsn: str,
        settings: DatabaseSettings,
        is_up: asyncio.Event,
        grade: Callable[[str], Wake],
    ) -> None:
        self._dsn = dsn
        self._settings = settings
        self._is_up = is_up
        self._grade = grade
        self._events = {Wake.ROUTINE: asyncio.Event(), Wake.URGENT: asyncio.Event()}

    async def wait(self, timeout_s: float, above: Wake) -> Wake:
        """Return at a wake-up above `above`, and forget it; at the latest after `timeout_s`."""
        least = Wake(min(above + 1, Wake.URGENT))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._events[least].wait()
        came = max((wake for wake, event in self._events.items() if event.is_set()), default=above)
        for event in self._events.values():
            event.clear()
        return max(above, came)

    async def run(self) -> None:
        """Listen until cancelled, through every loss of the connection."""
        failures = 0
        while True:
            await self._is_up.wait()
            try:
                await self._listen()
            except LagUnavailable as exc:
                failures += 1
                if failures == 1:
                    logger.warning("no wake-ups, reading once a second: %s", exc)
            except psycopg.Error:
                failures = 0
                logger.info("the connection for wake-ups was lost; opening it again")
            longest_s = min(RETRY_MAX_S, RETRY_MIN_S * 2 ** min(failures, 10))
            await asyncio.sleep(longest_s * random.uniform(0.5, 1.0) + RETRY_MIN_S / 2)  # noqa: S311 -- jitter

    async def _listen(self) -> None:
        connection = await connect(self._dsn, self._settings)
        try:
            await self._ask(connection, "listen")
            self._tell(Wake.URGENT)  # jobs may have come before the LISTEN
            while True:
                async for notice in connection.notifies(timeout=self._settings.probe_s):
                    kind, _, queue = notice.payload.partition(":")
                    if kind in WAKING:
                        self._tell(self._grade(queue))
                await self._ask(connection, "probe")
                self._tell(Wake.ROUTINE)  # one may have come with the answer
        finally:
            with contextlib.suppress(psycopg.Error):
                await connection.close()

    async def _ask(self, connection: Connection, name: str) -> None:
        """Run a statement; a box on the way may take it, say so, and never pass it on."""
        try:
            async with asyncio.timeout(self._settings.call_timeout_s):
                await connection.execute(statement(name))
        except TimeoutError:
            raise psycopg.OperationalError("no answer") from None

    def _tell(self, wake: Wake) -> None:
        for level, event in self._events.items():
            if level <= wake:
                event.set()
