"""The one place where psycopg's errors become ours; only a SQLSTATE and a phrase pass on."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from queueworker.dsn import Dsn
from queueworker.errors import (
    DatabaseUnavailable,
    EnqueueRefused,
    LockTimeout,
    PermissionDenied,
    QueueWorkerError,
    SchemaMissing,
    StatementRefused,
    TransactionConflict,
)

LOST_STATEMENT = "a pooler lost a prepared statement; set QUEUEWORKER_DSN to the server itself"
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
# What keeps TLS from being spoken has no SQLSTATE; it stands before what merely sounds alike.
TLS_PHRASES = {
    "certificate verify failed": "the server's certificate is signed by nobody that is trusted here;"
    " give the file of its authority as sslrootcert",
    "does not match host name": "the server's certificate is of another host; correct the host",
    "root certificate file": "the file of sslrootcert cannot be read; correct its path",
    "weak sslmode": "sslrootcert=system needs sslmode=verify-full; write it",
    "does not support SSL": "the server speaks no TLS, which sslmode asks for; turn it on there",
    # Where both were tried, TLS is not what is missing.
    "^(?!.* SSL encryption).* no encryption": "the server takes TLS alone; write sslmode=verify-full",
}
UNREACHED = {
    "[Cc]onnection refused": "the connection is refused; ",
    "resolve|translate host|[Nn]ame or service": "the host's name cannot be resolved; correct it, or ",
    "time(d )?out|timeout": "there is no answer in time; ",
    "No such file or directory": "no server has its socket there; ",
    "closed the connection|connection is closed|is lost": "the connection was lost; ",
}
# More exact than their class.
STATES = {
    "25006": "the server is read-only: a standby, or a primary that was demoted; name all servers in"
    " the DSN (host=one,two) and the writable one is found",
    "26000": LOST_STATEMENT,
    "42P05": LOST_STATEMENT,
    "57014": "a time limit ended the statement; look for locks and long transactions",
}
OBJECT = re.compile(r'(?<=permission denied for )\w+ \w+|^\w+ "?[\w.]+"?(?=.* does not exist)')
CONFLICTS = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
# Not errors of operation to psycopg; another connection mends them.
RECONNECTS = (
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.InvalidSqlStatementName,
    psycopg.errors.DuplicatePreparedStatement,
    psycopg.errors.IdleInTransactionSessionTimeout,
)
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
    state = f" (SQLSTATE {exc.sqlstate})" if exc.sqlstate else ""
    match exc:
        case psycopg.errors.InsufficientPrivilege():
            return PermissionDenied(
                f"the database role lacks a right{_object(exc)}{where}",
                "workers need the role queueworker_worker, producers queueworker_enqueue, stats"
                " queueworker_reader, other commands the owner: GRANT one of them"
                " (where no such role exists: queueworker migrate --create-roles)",
            )
        case _ if isinstance(exc, MISSING):
            return SchemaMissing(
                f"the schema queueworker is missing or old{_object(exc)}{where};"
                " run: queueworker migrate"
            )
        case _ if isinstance(exc, REFUSED):
            return StatementRefused(_out_of_bounds(exc, state))
        case _ if isinstance(exc, RECONNECTS):
            return DatabaseUnavailable(_phrase(exc, where, state))
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return _kind(exc)(_phrase(exc, where, state))
        case _:
            return StatementRefused(f"the database refused a statement{where}{state}")


def translate_enqueue(exc: psycopg.Error) -> QueueWorkerError:
    """Find the error for a producer: a value of its job may be at fault, and it may see it."""
    if isinstance(exc, REFUSED):
        return EnqueueRefused(_refusal(exc, f" (SQLSTATE {exc.sqlstate})"))
    return translate(exc)


def _object(exc: psycopg.Error) -> str:
    """Name the object that is missing or forbidden, where the server's text has it in known form."""
    found = OBJECT.search(exc.diag.message_primary or "")
    return f" ({found[0]})" if found else ""


def _kind(exc: psycopg.Error) -> type[DatabaseUnavailable]:
    if isinstance(exc, CONFLICTS):
        return TransactionConflict
    is_lock = isinstance(exc, psycopg.errors.LockNotAvailable)
    return LockTimeout if is_lock else DatabaseUnavailable


def _phrase(exc: psycopg.Error, where: str, state: str) -> str:
    known = STATES.get(exc.sqlstate or "") or _tls_phrase(str(exc))
    phrase = known or PHRASES.get(_state_class(exc)) or _unreached(exc)
    return f"cannot use the database{where}: {phrase}{state}"


def _tls_phrase(text: str) -> str:
    found = (why for words, why in TLS_PHRASES.items() if re.search(words, text, re.DOTALL))
    return next(found, "")


def _unreached(exc: psycopg.Error) -> str:
    """Tell apart what keeps a client from a server; the system's words are in its own language."""
    text = str(exc)
    reason = next((why for words, why in UNREACHED.items() if re.search(words, text)), "")
    return f"{reason}check that it runs and can be reached"


def _refusal(exc: psycopg.Error, state: str) -> str:
    state = state.strip(" ()")
    if isinstance(exc, psycopg.errors.InvalidParameterValue):
        return _out_of_bounds(exc, state)
    return f"a value of the job is out of bounds; correct it ({exc.diag.message_primary or state})"


def _out_of_bounds(exc: psycopg.Error, state: str) -> str:
    # This package's own functions raise the former, with a text for their caller.
    own = exc.diag.message_primary if isinstance(exc, psycopg.errors.InvalidParameterValue) else ""
    return own or f"the database refused a value that is out of bounds ({state.strip(' ()')})"


def _state_class(exc: psycopg.Error) -> str:
    if exc.sqlstate:
        return exc.sqlstate[:2]
    text = str(exc)
    if 'database "' in text and '" does not exist' in text:
        return "3D"
    return next((state for phrase, state in REFUSALS.items() if phrase in text), "")
