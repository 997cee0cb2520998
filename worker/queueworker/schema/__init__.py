"""The schema `queueworker`: forward-only migrations, checksummed, applied by one at a time."""

from queueworker.schema.beside import migrate_beside_work
from queueworker.schema.migrate import (
    Migration,
    MigrationReport,
    latest_version,
    migrate,
    migrations,
)
from queueworker.schema.version import check_version

__all__ = [
    "Migration",
    "MigrationReport",
    "check_version",
    "latest_version",
    "migrate",
    "migrate_beside_work",
    "migrations",
]
