"""Take the locks of a migration together, before it changes anything.

A migration that holds one table and waits for the next may close a circle with a session that
takes the two the other way round. Once a session has waited for `deadlock_timeout`, Postgres ends
it if it is in such a circle: that could be an enqueue in somebody's transaction. So the migration
waits for all its tables in one statement that ends before anyone's wait is that long.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg import sql

from queueworker.errors import LockTimeout
from queueworker.statements import statement

CHANGED: Final = re.compile(
    r"^\s*(?:ALTER TABLE|CREATE (?:UNIQUE )?INDEX \w+ ON|CREATE TRIGGER .+ ON) queueworker\.(\w+)",
    re.MULTILINE,
)


def lock_changed_tables(cursor: psycopg.Cursor[Any], texts: Sequence[str]) -> None:
    """Lock each table that is there and that one of these migrations changes.

    Raises:
        LockTimeout: others held one for too long; nothing is locked once the transaction ends.
    """
    changed = sorted({table for text in texts for table in CHANGED.findall(text)})
    cursor.execute(statement("migration_tables"), {"tables": changed})
    tables = [sql.Identifier("queueworker", name) for (name,) in cursor.fetchall()]
    if not tables:
        return
    cursor.execute(statement("migration_lock_bound"))
    try:
        cursor.execute(
            sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(tables))
        )
    except psycopg.errors.QueryCanceled as exc:
        raise LockTimeout(
            "another transaction holds a table that a migration changes; end long transactions and"
            " try again"
        ) from exc
    cursor.execute(sql.SQL("SET LOCAL statement_timeout TO DEFAULT"))
