"""The schema `queueworker`: forward-only migrations, checksummed, applied by one at a time."""

from queueworker.schema.migrate import (
    Migration,
    MigrationReport,
    latest_version,
    migrate,
    migrations,
)

__all__ = ["Migration", "MigrationReport", "latest_version", "migrate", "migrations"]
