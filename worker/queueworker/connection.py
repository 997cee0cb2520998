"""Connections of workers, producers and commands: their address, their limits, their settings.

A session's settings do not survive a pooler in transaction mode: see `pooler`.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format

from queueworker.certificates import system_certificates
from queueworker.compat import override
from queueworker.dsn import Dsn
from queueworker.errors import DatabaseUnavailable
from queueworker.pooler import WorkerConnection, named
from queueworker.statements import statement
from queueworker.translation import translated

# A peer that vanished is noticed within 8 s, also while nothing is sent.
DEFAULTS: Final[Mapping[str, str]] = {
    "connect_timeout": "5",
    "keepalives_idle": "4",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "tcp_user_timeout": "8000",
}
CANCEL_WITHIN_S = 0.7
ANSWER_WITHIN_S = 0.2
# A schema that others may create in can overload built-in functions that take any array.
SAFE: Final[Mapping[str, str]] = {"search_path": "pg_catalog, pg_temp"}
# Every statement of a worker is a walk along an index. The planner, which keeps its plan from when
# the table was empty or never analyzed, would read and sort the whole backlog instead. What is off
# costs 1e10 in a plan, and by that a server with LLVM would compile each statement for 0.3 s.
PLANS: Final[Mapping[str, str]] = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the server ends by itself: a statement, a wait for a lock, an idle transaction."""

    statement_s: float
    lock_s: float
    idle_in_transaction_s: float = 30.0

    def settings(self) -> Mapping[str, str]:
        """Give them as Postgres names them; a statement also ends when its client has gone."""
        return {
            "statement_timeout": f"{self.statement_s * 1000:.0f}",
            "lock_timeout": f"{self.lock_s * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{self.idle_in_transaction_s * 1000:.0f}",
            "client_connection_check_interval": "2000",
        }


WORKER: Final = Limits(statement_s=30, lock_s=2)
PRODUCER: Final = Limits(statement_s=10, lock_s=5)
# A command may move or delete millions of rows; it may wait for the workers' locks a little.
COMMAND: Final = Limits(statement_s=3600, lock_s=60, idle_in_transaction_s=3600)


class JsonbBytesLoader(Loader):
    """Give the text of a jsonb value as bytes: decoding happens where the job runs."""

    format = Format.BINARY

    @override
    def load(self, data: Buffer) -> bytes:
        """Drop the version byte of the binary format."""
        return bytes(data)[1:]


async def connect(
    dsn: Dsn, *, application_name: str, limits: Limits = WORKER
) -> psycopg.AsyncConnection[Any]:
    """Open an autocommit connection tuned for a worker's statements.

    Raises:
        DatabaseUnavailable: the server cannot be reached, or refuses.
    """
    settings = _settings(dsn, {**SAFE, **PLANS, **limits.settings()})
    with translated(dsn):
        conn = await WorkerConnection.connect(
            "",
            autocommit=True,
            **_parameters(dsn, application_name),  # type: ignore[arg-type]  # keywords of libpq
        )
        try:
            async with deadline(conn, float(DEFAULTS["connect_timeout"])):
                cursor = await conn.execute(
                    statement("session_settings"), _of_session(settings, conn.info.backend_pid)
                )
            if not cursor.rowcount:
                conn.carried, conn.prepare_threshold = settings, None
            conn.adapters.register_loader("jsonb", JsonbBytesLoader)
        except BaseException:
            await conn.close()
            raise
    return conn


def connect_sync(
    dsn: Dsn, *, application_name: str, limits: Limits = COMMAND
) -> psycopg.Connection[Any]:
    """Open an autocommit connection for synchronous code: migrations, commands, producers.

    Behind a pooler its limits are those of the login role.

    Raises:
        DatabaseUnavailable: the server cannot be reached, or refuses.
    """
    settings = _settings(dsn, {**SAFE, **limits.settings()})
    with translated(dsn):
        conn = psycopg.connect(
            "",
            autocommit=True,
            **_parameters(dsn, application_name),  # type: ignore[arg-type]  # keywords of libpq
        )
        try:
            cursor = conn.execute(
                statement("session_settings"), _of_session(settings, conn.info.backend_pid)
            )
        except BaseException:
            conn.close()
            raise
    if not cursor.rowcount:
        conn.prepare_threshold = None
    return conn


@asynccontextmanager
async def deadline(conn: psycopg.AsyncConnection[Any], longest_s: float) -> AsyncIterator[None]:
    """Ask the server to stop what takes longer, and cut the connection within a second.

    Cancelling the waiting task instead may take 10 s more, when the server cannot be reached.

    Raises:
        DatabaseUnavailable: there was no answer in time.
    """
    ends: list[asyncio.Task[None]] = []
    timer = asyncio.get_running_loop().call_later(
        longest_s, lambda: ends.append(asyncio.create_task(_end(conn)))
    )
    try:
        yield
    except Exception:
        if not ends:
            raise
        raise DatabaseUnavailable(f"no answer within {longest_s:g} s") from None
    finally:
        timer.cancel()
        for end in ends:
            end.cancel()


async def _end(conn: psycopg.AsyncConnection[Any]) -> None:
    """Stop the server's work, say a commit that waits for a standby: it would keep its session."""
    with suppress(psycopg.Error, TimeoutError):
        await conn.cancel_safe(timeout=CANCEL_WITHIN_S)
    await asyncio.sleep(ANSWER_WITHIN_S)
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(conn.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


def _parameters(dsn: Dsn, application_name: str) -> dict[str, str]:
    parameters = {**DEFAULTS, "application_name": application_name, **dsn.parameters}
    # Any text can be sent; the encoding of the terminal or of PGCLIENTENCODING has no say.
    parameters["client_encoding"] = "UTF8"
    parameters |= system_certificates(parameters, os.environ)
    if "," in f"{parameters.get('host', '')}{parameters.get('hostaddr', '')}":
        # One of several servers: only the primary will do.
        parameters.setdefault("target_session_attrs", "read-write")
    return parameters


def _settings(dsn: Dsn, wanted: Mapping[str, str]) -> dict[str, str]:
    """Leave out what the DSN's own `options` set."""
    given = dsn.parameters.get("options", "")
    return {name: value for name, value in wanted.items() if name not in given}


def _of_session(settings: Mapping[str, str], backend_pid: int) -> dict[str, object]:
    return {**named(settings), "backend_pid": backend_pid}
