"""Wake-ups by LISTEN, on a direct connection; polling stands behind it.

That LISTEN was accepted proves nothing: a pooler swallows it, and the address may lead to another
database. So a notification is sent over the worker's main connection, and must be heard here.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable

import psycopg

from queueworker.errors import DatabaseError, DatabaseUnavailable
from queueworker.link import Link
from queueworker.metrics import LISTENING
from queueworker.statements import statement
from queueworker.store import Store, WorkerConnection, deadline, translated

logger = logging.getLogger(__name__)

CHECK_EVERY_S = 3.0
CHECK_TIMEOUT_S = 4.0
PROOF_WITHIN_S = 5.0
# Any notification proves it: where many listen, one proof a minute serves all.
PROVE_WHEN_QUIET_S = 60.0
TRY_AGAIN_S = 30.0
PROOF = "proof:"
POOLED = (
    "a pooler stands before the database; set QUEUEWORKER_LISTEN_DSN to an address without one,"
    " or leave it at polling"
)
UNHEARD = (
    "LISTEN was accepted, but no notification arrives; check that QUEUEWORKER_LISTEN_DSN"
    " leads to the same database as QUEUEWORKER_DSN, and to no pooler"
)

Heard = Callable[[str, str], None]
"""Takes the kind and the subject of a notification: `job`, `mail`."""
Armed = Callable[[bool], None]
"""Takes whether notifications arrive from now on."""


class _Deaf(Exception):
    """Notifications do not arrive over this connection, and another one would be no better."""


class Listener:
    """Holds one connection that listens; after a loss it listens again.

    `main` is the connection that notifications of this worker's own are sent over.
    """

    def __init__(self, link: Link, main: Link, heard: Heard, armed: Armed) -> None:
        self._link = link
        self._main = main
        self._heard = heard
        self._armed = armed
        self._told = ""

    async def run(self) -> None:
        """Listen until cancelled."""
        failures = 0
        while True:
            try:
                conn = await self._link.connection()
                await self._listen(conn)
                failures = 0
                await self._hear(conn)
            except _Deaf as exc:
                await self._disarm()
                self._tell(str(exc))
                await asyncio.sleep(TRY_AGAIN_S * _jitter())
            except DatabaseError as exc:
                await self._disarm()
                await self._link.pause(failures, exc)
                failures += 1

    async def _listen(self, conn: psycopg.AsyncConnection) -> None:
        if isinstance(conn, WorkerConnection) and conn.is_pooled:
            raise _Deaf(POOLED)
        with translated():
            async with deadline(conn, CHECK_TIMEOUT_S):
                await conn.execute("LISTEN queueworker")
        await self._prove(conn)
        self._arm(is_armed=True)

    async def _hear(self, conn: psycopg.AsyncConnection) -> None:
        quiet_since_s = time.monotonic()
        while True:
            if await self._take(conn, CHECK_EVERY_S):
                quiet_since_s = time.monotonic()
            await _check(conn)
            if time.monotonic() - quiet_since_s > PROVE_WHEN_QUIET_S * _jitter():
                await self._prove(conn)
                quiet_since_s = time.monotonic()

    async def _prove(self, conn: psycopg.AsyncConnection) -> None:
        await self._main.call(_send_proof)
        if not await self._take(conn, PROOF_WITHIN_S, stop_after=1):
            raise _Deaf(UNHEARD)

    async def _take(
        self, conn: psycopg.AsyncConnection, longest_s: float, stop_after: int | None = None
    ) -> int:
        count = 0
        with translated():
            async for notification in conn.notifies(timeout=longest_s, stop_after=stop_after):
                count += 1
                kind, _, subject = notification.payload.partition(":")
                if not notification.payload.startswith(PROOF):
                    self._heard(kind, subject)
        return count

    async def _disarm(self) -> None:
        self._arm(is_armed=False)
        await self._link.close()

    def _arm(self, *, is_armed: bool) -> None:
        LISTENING.set(is_armed)
        self._armed(is_armed)
        if is_armed:
            self._told = ""

    def _tell(self, reason: str) -> None:
        if reason != self._told:
            logger.warning("the worker polls: %s", reason)
        self._told = reason


async def _send_proof(store: Store) -> None:
    await store.fetch(statement("notify"), {"payload": PROOF})


async def _check(conn: psycopg.AsyncConnection) -> None:
    """Ask for an answer: a connection that a middlebox dropped would be silent for ever."""
    with translated():
        async with deadline(conn, CHECK_TIMEOUT_S):
            cursor = await conn.execute(statement("listen_check"))
            row = await cursor.fetchone()
    if row is None or row[0]:
        raise DatabaseUnavailable("the server has become read-only: it is no longer the primary")


def _jitter() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - no secret
