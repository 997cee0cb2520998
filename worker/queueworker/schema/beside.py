"""Migrate beside working workers: wait for a table a moment at a time.

A migration that waits for a table stops all that come after it: claims, completions, and the
renewals of leases. Behind a dump, or a report that somebody left open, that would be minutes.
"""

import random
import time
from collections.abc import Sequence
from logging import getLogger
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from queueworker.errors import LockTimeout, TransactionConflict
from queueworker.schema.migrate import Migration, MigrationReport, migrate
from queueworker.statements import statement
from queueworker.translation import translated

logger = getLogger(__name__)

# Below what `helm upgrade` waits for a hook (5 min).
PATIENCE_S: Final = 240.0
PAUSE_S: Final = 2.0


def migrate_beside_work(
    conn: psycopg.Connection[Any],
    *,
    create_roles: bool = False,
    files_: Sequence[Migration] | None = None,
    patience_s: float = PATIENCE_S,
) -> MigrationReport:
    """Migrate, and begin anew where a table cannot be had within a moment, or after a deadlock.

    Raises:
        LockTimeout: others held a table all the time; nothing was changed.
        DatabaseError: as `migrate`.
    """
    ends_s, told = time.monotonic() + patience_s, ""
    while True:
        try:
            return migrate(conn, create_roles=create_roles, files_=files_)
        except (LockTimeout, TransactionConflict) as exc:
            holders = _holders(conn)
            if time.monotonic() >= ends_s:
                raise LockTimeout(
                    f"nothing was migrated: for {patience_s:g} s a table of the schema was held by"
                    f" {holders}; end that, or run this again later"
                ) from exc
        if holders != told:
            logger.warning("waiting for a table of the schema, which is held by %s", holders)
            told = holders
        time.sleep(PAUSE_S * random.uniform(0.5, 1.0))  # noqa: S311 - jitter


def _holders(conn: psycopg.Connection[Any]) -> str:
    """Name the sessions that hold locks on tables of the schema."""
    with translated(), conn.cursor(row_factory=tuple_row) as cursor:
        found = cursor.execute(statement("migration_blockers")).fetchall()
    named = [f"process {pid} ({name or 'unnamed'} of {user})" for pid, user, name in found]
    return ", ".join(named) or "a transaction that has ended since"
