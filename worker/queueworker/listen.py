"""Wake-ups by LISTEN, on a direct connection; polling stands behind it."""

import asyncio
import logging
from collections.abc import Callable

import psycopg

from queueworker.errors import DatabaseError
from queueworker.link import Link
from queueworker.store import translated

logger = logging.getLogger(__name__)

CHECK_EVERY_S = 10.0
CHECK_TIMEOUT_S = 5.0

Heard = Callable[[str, str], None]
"""Takes the kind and the subject of a notification: `job`, `mail`."""
Armed = Callable[[bool], None]
"""Takes whether notifications arrive from now on."""


class Listener:
    """Holds one connection that listens; after a loss it listens again."""

    def __init__(self, link: Link, heard: Heard, armed: Armed) -> None:
        self._link = link
        self._heard = heard
        self._armed = armed

    async def run(self) -> None:
        """Listen until cancelled."""
        failures = 0
        while True:
            try:
                conn = await self._link.connection()
                with translated():
                    await conn.execute("LISTEN queueworker")
                failures = 0
                self._armed(True)  # noqa: FBT003 - the callback's only meaning
                await self._hear(conn)
            except DatabaseError as exc:
                self._armed(False)  # noqa: FBT003
                await self._link.close()
                await self._link.pause(failures, exc)
                failures += 1

    async def _hear(self, conn: psycopg.AsyncConnection) -> None:
        while True:
            with translated():
                async for notification in conn.notifies(timeout=CHECK_EVERY_S):
                    kind, _, subject = notification.payload.partition(":")
                    self._heard(kind, subject)
                await _check(conn)


async def _check(conn: psycopg.AsyncConnection) -> None:
    """Ask for an answer: a connection that a middlebox dropped would be silent for ever."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await conn.execute("SELECT 1")
    except TimeoutError:
        raise psycopg.OperationalError("no answer") from None
