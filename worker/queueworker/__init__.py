"""A Postgres job queue: enqueue in your own transaction, run each job at least once, fenced."""

from queueworker.app import App
from queueworker.context import Context
from queueworker.errors import (
    AppNotFound,
    ConfigurationError,
    DatabaseError,
    DatabaseUnavailable,
    Discard,
    DuplicateJob,
    DuplicateTask,
    EmbeddedServerError,
    EnqueueRefused,
    InvalidCall,
    InvalidDsn,
    InvalidSetting,
    LeaseLost,
    MigrationChanged,
    PermissionDenied,
    QueueWorkerError,
    RetryAfter,
    SchemaMismatch,
    SchemaMissing,
    StaleToken,
    TaskError,
    UnknownTask,
)
from queueworker.job import Job
from queueworker.retry import exponential
from queueworker.task import Task

__all__ = [
    "App",
    "AppNotFound",
    "ConfigurationError",
    "Context",
    "DatabaseError",
    "DatabaseUnavailable",
    "Discard",
    "DuplicateJob",
    "DuplicateTask",
    "EmbeddedServerError",
    "EnqueueRefused",
    "InvalidCall",
    "InvalidDsn",
    "InvalidSetting",
    "Job",
    "LeaseLost",
    "MigrationChanged",
    "PermissionDenied",
    "QueueWorkerError",
    "RetryAfter",
    "SchemaMismatch",
    "SchemaMissing",
    "StaleToken",
    "Task",
    "TaskError",
    "UnknownTask",
    "exponential",
]
