"""Which connections an enqueue takes."""

import psycopg

from queueworker.errors import InvalidCall

UNWRAP = (
    " (of Django: django.db.connection.connection; of SQLAlchemy:"
    " session.connection().connection.driver_connection)"
)


def check_async(conn: object) -> None:
    """Refuse a connection that cannot be awaited."""
    if isinstance(conn, psycopg.AsyncConnection):
        return
    if isinstance(conn, psycopg.Connection):
        raise InvalidCall(
            "the connection is synchronous; call enqueue_sync with it, or give a"
            " psycopg.AsyncConnection"
        )
    raise _foreign(conn, "psycopg.AsyncConnection")


def check_sync(conn: object) -> None:
    """Refuse a connection that must be awaited."""
    if isinstance(conn, psycopg.Connection):
        return
    if isinstance(conn, psycopg.AsyncConnection):
        raise InvalidCall(
            "the connection is asynchronous; await enqueue with it, or give a psycopg.Connection"
        )
    raise _foreign(conn, "psycopg.Connection")


def _foreign(conn: object, wanted: str) -> InvalidCall:
    return InvalidCall(f"conn must be a {wanted}, not {type(conn).__name__}{UNWRAP}")
