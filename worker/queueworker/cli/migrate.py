"""`queueworker migrate`."""

import argparse
from contextlib import suppress
from typing import Any

import psycopg

from queueworker.cli.command import Commands, add_command
from queueworker.errors import TransactionConflict
from queueworker.schema import MigrationReport, migrate
from queueworker.settings import Settings
from queueworker.store import connect_sync

MOST_TRIES = 10


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "migrate",
        "create the schema `queueworker`, or bring it up to date",
        "QUEUEWORKER_DSN=postgresql://owner@host/db queueworker migrate --create-roles",
    )
    parser.add_argument(
        "--create-roles",
        action="store_true",
        help="also create the roles queueworker_owner, _worker, _enqueue, _reader, _operator",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Migrate; a schema that is up to date is no error."""
    dsn = Settings.from_env().required_dsn
    with connect_sync(dsn, application_name="queueworker migrate") as conn:
        report = _until_applied(conn, create_roles=arguments.create_roles)
    applied = ", ".join(report.applied) or "nothing to do"
    print(f"schema version {report.version}: {applied}")
    return 0


def _until_applied(conn: psycopg.Connection[Any], *, create_roles: bool) -> MigrationReport:
    """Migrate beside working workers: a deadlock with one of them undoes it, and is no reason to stop."""
    for _ in range(MOST_TRIES - 1):
        with suppress(TransactionConflict):
            return migrate(conn, create_roles=create_roles)
    return migrate(conn, create_roles=create_roles)
