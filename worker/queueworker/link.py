"""A database connection that is opened again after a loss, for ever."""

import asyncio
import logging
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from queueworker.dsn import Dsn
from queueworker.errors import (
    DatabaseError,
    DatabaseUnavailable,
    LockTimeout,
    StatementRefused,
    TransactionConflict,
)
from queueworker.metrics import CONFLICTS, LOCK_TIMEOUTS, RECONNECTS
from queueworker.store import OpenClaims, Store, connect, deadline

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Work = Callable[[Store], Awaitable[Answer]]

CALL_TIMEOUT_S = 8.0
FIRST_DELAY_S = 0.05
MOST_DELAY_S = 2.0
# What keeps failing fails again within this time.
TROUBLE_S = 10.0


def backoff_s(failures: int, random_unit: float) -> float:
    """Give the time to wait after so many failures in a row: doubling, half of it random."""
    full_s = min(MOST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures, 16))
    return full_s * (0.5 + random_unit / 2)


class Link:
    """One connection for one purpose; calls wait for each other."""

    def __init__(self, dsn: Dsn, purpose: str, open_claims: OpenClaims | None = None) -> None:
        self._dsn = dsn
        self._purpose = purpose
        self._open_claims = OpenClaims() if open_claims is None else open_claims
        self._lock = asyncio.Lock()
        self._conn: psycopg.AsyncConnection | None = None
        self._opened = 0
        self._failure: tuple[float, DatabaseError] | None = None
        self._away_since_s: float | None = None

    @property
    def opened(self) -> int:
        """Give how often the connection was opened: a change means that a reply may be lost."""
        return self._opened

    @property
    def trouble(self) -> DatabaseError | None:
        """Give the failure of the last seconds, whatever else went well meanwhile."""
        failure = self._failure
        if failure is None or time.monotonic() - failure[0] > TROUBLE_S:
            return None
        return failure[1]

    async def connection(self) -> psycopg.AsyncConnection:
        """Give the open connection, for a caller that needs it whole.

        Raises:
            DatabaseError: it cannot be opened.
        """
        if self._conn is None or self._conn.closed:
            self._conn = await connect(self._dsn, application_name=f"queueworker {self._purpose}")
            if self._opened:
                RECONNECTS.labels(self._purpose).inc()
            self._opened += 1
        return self._conn

    async def call(self, work: Work[Answer], timeout_s: float = CALL_TIMEOUT_S) -> Answer:
        """Do one piece of work; a failure that leaves its outcome unknown closes the connection.

        Raises:
            TransactionConflict: it was rolled back, and may be done again at once.
            LockTimeout: it was rolled back: somebody else holds what it needs.
            DatabaseError: it was not done, or nobody knows.
        """
        async with self._lock:
            try:
                conn = await self.connection()
                async with deadline(conn, timeout_s):
                    answer = await work(Store(conn, self._open_claims))
            except (DatabaseError, asyncio.CancelledError) as exc:
                await self._failed(exc)
                raise
        if self._away_since_s is not None:
            self._tell_back(self._away_since_s)
        return answer

    async def answered(self) -> None:
        """Wait for the end of the call that is under way."""
        async with self._lock:
            return

    async def insist(
        self,
        work: Work[Answer],
        timeout_s: float = CALL_TIMEOUT_S,
        *,
        refusals: int = sys.maxsize,
    ) -> Answer:
        """Do one piece of work, again and again until it succeeds.

        Raises:
            StatementRefused: so many times, each on a new connection.
        """
        failures = 0
        while True:
            try:
                return await self.call(work, timeout_s)
            except DatabaseError as exc:
                refusals -= isinstance(exc, StatementRefused)
                if refusals <= 0:
                    raise
                await self.pause(failures, exc)
                failures += 1

    async def _failed(self, exc: DatabaseError | asyncio.CancelledError) -> None:
        match exc:
            case TransactionConflict():
                CONFLICTS.labels(self._purpose).inc()
            case LockTimeout():
                LOCK_TIMEOUTS.labels(self._purpose).inc()
            case DatabaseError():
                self._failure = (time.monotonic(), exc)
            case asyncio.CancelledError():
                pass
        if not isinstance(exc, TransactionConflict | LockTimeout) or not self._is_idle():
            await self.close()

    def _is_idle(self) -> bool:
        conn = self._conn
        return conn is not None and conn.info.transaction_status is TransactionStatus.IDLE

    async def pause(self, failures: int, exc: DatabaseError) -> None:
        """Wait before the next attempt; tell about the first failure and then now and then."""
        is_busy = isinstance(exc, TransactionConflict | LockTimeout)
        if isinstance(exc, DatabaseUnavailable) and not is_busy and self._away_since_s is None:
            self._away_since_s = time.monotonic()
        if failures % 10 == 0:
            logger.warning("%s: %s; trying again", self._purpose, exc)
        await asyncio.sleep(backoff_s(failures, random.random()))  # noqa: S311 - jitter

    def _tell_back(self, since_s: float) -> None:
        self._away_since_s = None
        away_s = time.monotonic() - since_s
        logger.info("%s: the database is back after %.1f s", self._purpose, away_s)

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()
