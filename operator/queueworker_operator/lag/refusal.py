"""A psycopg error becomes an error of ours: a fixed phrase and the SQLSTATE, never its own text."""

import re

import psycopg

from queueworker_operator.errors import AccessRefused, GrantMissing, LagUnavailable
from queueworker_operator.lag.bounded import MOST_BYTES, MOST_ROWS, AnswerTooLarge

# SQLSTATE, or its class, to what happened and what to do.
PHRASES = {
    "08": "the connection broke; it is opened again",
    "25006": "the server is read-only: it is a standby; point the DSN at the primary",
    "28": "the user or the password was refused: check the Secret",
    "3D000": "the database does not exist: check its name in the DSN",
    "3F000": "the schema is missing: run queueworker migrate",
    "42501": "a right is missing: grant queueworker_operator to the DSN's role",
    "42883": "a function is missing: run queueworker migrate",
    "42703": "a column is missing: run queueworker migrate",
    "42P01": "a table is missing: run queueworker migrate",
    "53300": "the server has no connection left: raise max_connections",
    "53": "the server lacks a resource: look at its log",
    "55000": "the database takes no connections now; tried again",
    "55P03": "a lock was not given in time; tried again",
    "57014": "the statement took too long and was cancelled; tried again",
    "57P": "the server is starting or stopping; tried again",
}
TOO_LARGE = (
    f"an answer of more than {MOST_BYTES >> 20} MB or {MOST_ROWS} rows was not read: it is no honest one; "
    "look who may change the functions of schema queueworker"
)
ACCESS_STATES = ("28",)
GRANT_STATES = ("3F000", "42501", "42883", "42703", "42P01")
# After these the connection is opened anew. 25006: the primary was demoted under it.
BROKEN_STATES = ("08", "25006", "57P", "XX")
# libpq gives no SQLSTATE when a connection is refused; these words of the server's text tell why.
WORDS = (
    ("too many connections", "53300"),
    ("too many clients", "53300"),
    ("connection slots", "53300"),
    ("starting up", "57P03"),
    ("shutting down", "57P01"),
    ("recovery mode", "57P03"),
    ("not yet accepting connections", "57P03"),
    ("not currently accepting connections", "55000"),
    ("session is read-only", "25006"),
    ("hot standby mode", "25006"),
    ("authentication failed", "28P01"),
    ("no password supplied", "28P01"),
    ("pg_hba.conf", "28000"),
    ("not permitted to log in", "28000"),
)
# What keeps TLS from being spoken has no SQLSTATE either.
TLS_PHRASES = {
    "certificate verify failed": "the server's certificate is signed by nobody that is trusted here: "
    "name the file of its authority in PGSSLROOTCERT, and no sslrootcert in the DSN",
    "does not match host name": "the server's certificate is of another host: correct the host in the DSN",
    "root certificate file": "the file of PGSSLROOTCERT cannot be read: mount it there",
    "weak sslmode": "sslrootcert=system needs sslmode=verify-full: write it into the DSN",
    "does not support SSL": "the server speaks no TLS, which sslmode asks for: turn it on there",
    # Where both were tried, TLS is not what is missing.
    "^(?!.* SSL encryption).* no encryption": "the server takes TLS alone: write sslmode=verify-full into the DSN",
}
NO_DATABASE = re.compile(r'database "[^"]*" does not exist')
NO_ROLE = re.compile(r'role "[^"]*" does not exist')


def unavailable(error: psycopg.Error, database: str) -> LagUnavailable:
    """Say in one line what `database` refused, and what to do about it."""
    if isinstance(error, AnswerTooLarge):
        return LagUnavailable(f"{database}: {TOO_LARGE}")
    state = sqlstate(error)
    phrase = _tls_phrase(str(error)) or phrase_of(state)
    message = f"{database}: {phrase}" + (f" (SQLSTATE {state})" if state else "")
    if state.startswith(ACCESS_STATES):
        return AccessRefused(message)
    if state.startswith(GRANT_STATES):
        return GrantMissing(message)
    return LagUnavailable(message)


def _tls_phrase(text: str) -> str:
    found = (why for words, why in TLS_PHRASES.items() if re.search(words, text, re.DOTALL))
    return next(found, "")


def is_broken(error: psycopg.Error) -> bool:
    """Tell whether the connection cannot be used any more."""
    state = sqlstate(error)
    if not state:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state.startswith(BROKEN_STATES)


def sqlstate(error: psycopg.Error) -> str:
    """Give the SQLSTATE, guessed from the server's words where libpq hides it; or nothing."""
    if error.sqlstate:
        return error.sqlstate
    text = str(error)
    if NO_DATABASE.search(text):
        return "3D000"
    if NO_ROLE.search(text):
        return "28000"
    return next((state for words, state in WORDS if words in text), "")


def phrase_of(state: str) -> str:
    """Find the phrase of a SQLSTATE: its own, else its class's."""
    if not state:
        return "no connection: check that the host is up and reachable"
    lengths = (len(state), 3, 2)
    found = (PHRASES.get(state[:length]) for length in lengths)
    return next((phrase for phrase in found if phrase), "the statement failed")
