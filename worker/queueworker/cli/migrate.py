"""`queueworker migrate`."""

import argparse

from queueworker.cli.command import Commands, add_command
from queueworker.schema import migrate_beside_work
from queueworker.settings import Settings
from queueworker.store import connect_sync


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
        report = migrate_beside_work(conn, create_roles=arguments.create_roles)
    applied = ", ".join(report.applied) or "nothing to do"
    print(f"schema version {report.version}: {applied}")
    return 0
