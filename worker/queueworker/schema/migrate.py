"""Apply the files of `migrations/`, all in one transaction, under an advisory lock."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from logging import getLogger
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from queueworker.errors import (
    MigrationChanged,
    PermissionDenied,
    SchemaMismatch,
    UnsupportedDatabase,
)
from queueworker.schema.tables import lock_changed_tables
from queueworker.statements import statement
from queueworker.translation import translated

logger = getLogger(__name__)

OWNER_ROLE: Final = "queueworker_owner"
ROLES: Final = (
    OWNER_ROLE,
    "queueworker_worker",
    "queueworker_enqueue",
    "queueworker_reader",
    "queueworker_operator",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file `NNNN_name.sql`; an applied one is never edited."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Give the digest that the database remembers."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """What a run did."""

    applied: tuple[str, ...]
    version: int


@cache
def migrations() -> tuple[Migration, ...]:
    """Read all migrations in order."""
    folder = files("queueworker.schema").joinpath("migrations")
    entries = sorted((e for e in folder.iterdir() if e.name.endswith(".sql")), key=lambda e: e.name)
    return tuple(
        Migration(
            version=int(entry.name[:4]),
            name=entry.name.removesuffix(".sql"),
            text=entry.read_text(encoding="utf-8"),
        )
        for entry in entries
    )


def latest_version() -> int:
    """Give the version that this code speaks."""
    return migrations()[-1].version


def check_encoding(encoding: str | None) -> None:
    """Make sure that the database can store every error and every payload; a pooler may not tell.

    Raises:
        UnsupportedDatabase: it cannot.
    """
    if encoding not in {None, "UTF8"}:
        raise UnsupportedDatabase(
            f"the database has the encoding {encoding}, the queue needs UTF8; make a database with"
            " CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )


def migrate(
    conn: psycopg.Connection[Any],
    *,
    create_roles: bool = False,
    files_: Sequence[Migration] | None = None,
) -> MigrationReport:
    """Bring the schema to the latest version; do nothing where it is already there.

    Raises:
        UnsupportedDatabase: it cannot store every text.
        MigrationChanged: an applied file was edited.
        SchemaMismatch: the database is newer than this code.
        PermissionDenied: the role may not create a schema or roles.
        LockTimeout: somebody else holds a table; nothing was changed.
    """
    check_encoding(conn.info.parameter_status("server_encoding"))
    wanted = migrations() if files_ is None else tuple(files_)
    try:
        with translated(), conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
            _begin(cursor)
            if create_roles:
                _create_roles(conn, cursor)
            _become_owner(cursor)
            pending = _pending(cursor, wanted)
            lock_changed_tables(cursor, [migration.text for migration in pending])
            for migration in pending:
                _apply(cursor, migration)
            cursor.execute(statement("migration_forget_transactions"))
            cursor.execute(statement("migration_grant_roles"))
            cursor.execute(sql.SQL("RESET ROLE"))
    except PermissionDenied as exc:
        raise PermissionDenied(
            "this role may not migrate; use the owner of the database or of the schema queueworker,"
            " and a role with CREATEROLE for --create-roles"
        ) from exc
    return MigrationReport(
        applied=tuple(migration.name for migration in pending), version=wanted[-1].version
    )


def _begin(cursor: psycopg.Cursor[Any]) -> None:
    # What the owner runs must not find functions of others first.
    cursor.execute(sql.SQL("SET LOCAL search_path = pg_catalog, pg_temp"))
    cursor.execute(statement("migration_lock"))
    # All who need a table wait behind whoever waits for it: see `beside`.
    cursor.execute(sql.SQL("SET LOCAL lock_timeout = '1 s'"))


def _create_roles(conn: psycopg.Connection[Any], cursor: psycopg.Cursor[Any]) -> None:
    for role in ROLES:
        cursor.execute(statement("migration_role_exists"), {"role": role})
        row = cursor.fetchone()
        if row is None or row[0]:
            continue
        try:
            # Roles belong to the whole server: another database's migrator may be faster.
            with conn.transaction():
                cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            logger.info("role %s was created by somebody else", role)
    database = sql.Identifier(conn.info.dbname)
    owner = sql.Identifier(OWNER_ROLE)
    cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner))
    cursor.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, owner))


def _become_owner(cursor: psycopg.Cursor[Any]) -> None:
    """Act as the schema's owner, so that all objects have one owner, and no superuser if possible."""
    cursor.execute(statement("migration_schema_owner"))
    existing = cursor.fetchone()
    if existing is not None:
        owner, is_member = existing
    else:
        cursor.execute(statement("migration_owner_role"))
        role = cursor.fetchone()
        owner, is_member = OWNER_ROLE, role is not None and role[0]
    if is_member:
        cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(owner.strip('"'))))
    if existing is None:
        cursor.execute(statement("migration_create_schema"))
        cursor.execute(statement("migration_create_table"))


def _pending(cursor: psycopg.Cursor[Any], wanted: Sequence[Migration]) -> list[Migration]:
    cursor.execute(statement("migration_applied"))
    applied = {version: checksum for version, _, checksum in cursor.fetchall()}
    newest = wanted[-1].version
    if applied and max(applied) > newest:
        raise SchemaMismatch(
            f"the schema has version {max(applied)}, this code knows {newest};"
            " install the newer queueworker"
        )
    for migration in wanted:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationChanged(
                f"migration {migration.name} was edited after it was applied; restore the file and"
                " write a new migration"
            )
    return [migration for migration in wanted if migration.version not in applied]


def _apply(cursor: psycopg.Cursor[Any], migration: Migration) -> None:
    cursor.execute(migration.text.encode())
    cursor.execute(
        statement("migration_record"),
        {
            "version": migration.version,
            "name": migration.name,
            "checksum": migration.checksum,
        },
    )
    logger.info("applied migration %s", migration.name)
