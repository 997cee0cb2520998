"""Connections of a worker, and the one place where psycopg's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format
from typing_extensions import override

from queueworker.dsn import Dsn
from queueworker.errors import (
    DatabaseError,
    DatabaseUnavailable,
    EnqueueRefused,
    PermissionDenied,
    QueueWorkerError,
    SchemaMissing,
)

CONNECT_TIMEOUT_S = 5
# Every statement of a worker is a walk along an index. The planner, which keeps its plan from when
# the table was empty or never analyzed, would read and sort the whole backlog instead. What is off
# costs 1e10 in a plan, and by that a server with LLVM would compile each statement for 0.3 s.
PLANS = (
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;"
    " SET enable_bitmapscan = off; SET enable_sort = off; SET enable_hashjoin = off;"
    " SET enable_mergejoin = off; SET jit = off"
)
PHRASES = {
    "28": "the password or the role is wrong; check the DSN",
    "3D": "the database does not exist; create it or correct the DSN",
    "40": "a deadlock or a conflict with another transaction; try again",
    "53": "the server has no room (connections, memory or disk)",
    "55": "another transaction holds a lock; end long transactions and try again",
    "57": "the server is starting, stopping, or ended the connection",
}
# A refusal to connect has no SQLSTATE, only a text, which may be in another language.
REFUSALS = {
    "authentication failed": "28",
    "no password supplied": "28",
    "no pg_hba.conf entry": "28",
    '" does not exist': "28",
    "too many clients": "53",
    "remaining connection slots": "53",
    "the database system is": "57",
}
MISSING = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedColumn,
)
REFUSED = (
    psycopg.errors.InvalidParameterValue,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
    psycopg.errors.InvalidTextRepresentation,
    psycopg.errors.UntranslatableCharacter,
    psycopg.errors.NumericValueOutOfRange,
    psycopg.errors.DatetimeFieldOverflow,
)


class JsonbBytesLoader(Loader):
    """Give the text of a jsonb value as bytes: decoding happens where the job runs."""

    format = Format.BINARY

    @override
    def load(self, data: Buffer) -> bytes:
        """Drop the version byte of the binary format."""
        return bytes(data)[1:]


async def connect(dsn: Dsn, *, application_name: str) -> psycopg.AsyncConnection:
    """Open an autocommit connection tuned for a worker's statements.

    Raises:
        DatabaseUnavailable: the server cannot be reached, or refuses.
    """
    parameters: dict[str, str | int] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": application_name,
        **dsn.parameters,
    }
    with translated(dsn):
        conn = await psycopg.AsyncConnection.connect("", autocommit=True, **parameters)  # type: ignore[arg-type]  # keywords of libpq
        await conn.execute(PLANS)
        conn.adapters.register_loader("jsonb", JsonbBytesLoader)
    return conn


def connect_sync(dsn: Dsn, *, application_name: str) -> psycopg.Connection:
    """Open an autocommit connection for synchronous code (migrations, producers, the lease).

    Raises:
        DatabaseUnavailable: the server cannot be reached, or refuses.
    """
    parameters: dict[str, str | int] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": application_name,
        **dsn.parameters,
    }
    with translated(dsn):
        return psycopg.connect("", autocommit=True, **parameters)  # type: ignore[arg-type]  # keywords of libpq


@contextmanager
def translated(dsn: Dsn | None = None) -> Iterator[None]:
    """Raise this package's errors in place of psycopg's, without the server's address or data."""
    try:
        yield
    except psycopg.Error as exc:
        raise translate(exc, dsn) from exc


def translate(exc: psycopg.Error, dsn: Dsn | None = None) -> QueueWorkerError:
    """Find the error that tells a caller what to do; only the SQLSTATE and a phrase pass on."""
    where = f" ({dsn})" if dsn is not None else ""
    state = f"SQLSTATE {exc.sqlstate}" if exc.sqlstate else "no answer"
    match exc:
        case psycopg.errors.InsufficientPrivilege():
            return PermissionDenied(
                f"the database role lacks a right{where}; workers need the role queueworker_worker,"
                " producers queueworker_enqueue, stats queueworker_reader, other commands the owner"
                " (to make the roles, run: queueworker migrate --create-roles)"
            )
        case _ if isinstance(exc, MISSING):
            return SchemaMissing(
                f"the schema queueworker is missing or old{where}; run: queueworker migrate"
            )
        case _ if isinstance(exc, REFUSED):
            return EnqueueRefused(_refusal(exc, state))
        case psycopg.OperationalError() | psycopg.InterfaceError():
            phrase = PHRASES.get(_state_class(exc), "check that it runs and can be reached")
            return DatabaseUnavailable(f"cannot use the database{where}: {phrase} ({state})")
        case _:
            return DatabaseError(f"the database refused a statement{where} ({state})")


def _refusal(exc: psycopg.Error, state: str) -> str:
    text = exc.diag.message_primary or state
    if isinstance(exc, psycopg.errors.InvalidParameterValue):
        return text
    return f"a value of the job is out of bounds; correct it ({text})"


def _state_class(exc: psycopg.Error) -> str:
    if exc.sqlstate:
        return exc.sqlstate[:2]
    text = str(exc)
    if 'database "' in text and '" does not exist' in text:
        return "3D"
    return next((state for phrase, state in REFUSALS.items() if phrase in text), "")
