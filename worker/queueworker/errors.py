"""Every error that this package raises, one leaf per reaction a caller may have.

QueueWorkerError
├── ConfigurationError          the deployment must change: not worth a retry
│   ├── InvalidDsn
│   ├── InvalidSetting
│   ├── UnsupportedDatabase     make another database
│   └── AppNotFound             (also: the module was found, but holds no App)
├── TaskError                   the code must change
│   ├── InvalidCall             (also a TypeError: wrong arguments for a task)
│   ├── DuplicateTask
│   └── UnknownTask
├── DatabaseError
│   ├── DatabaseUnavailable     worth a retry
│   │   ├── TransactionConflict rolled back for the sake of another transaction: again at once
│   │   └── LockTimeout         another transaction holds a row: go on with other rows
│   ├── StatementRefused        what was to be written is at fault: nothing was done
│   ├── PermissionDenied
│   ├── SchemaMissing           run the migrations
│   ├── SchemaMismatch          code and schema have different versions
│   └── MigrationChanged        an applied migration was edited
├── EnqueueRefused              the job is out of bounds, or the database refused it
│   └── DuplicateJob            its unique key is taken (on_duplicate="reject")
├── LeaseLost                   this worker's jobs belong to others now
├── StaleToken                  the job was claimed anew: this run changes nothing
└── EmbeddedServerError

HandlerSignal                   raised by a handler to choose its own outcome; not an error
├── RetryAfter
└── Discard
"""

from queueworker.compat import override


class QueueWorkerError(Exception):
    """Any error of this package."""


class ConfigurationError(QueueWorkerError):
    """A setting is missing or cannot be used."""


class InvalidDsn(ConfigurationError):
    """The database's address cannot be read."""


class InvalidSetting(ConfigurationError):
    """An environment variable or a flag has a value out of its bounds."""


class UnsupportedDatabase(ConfigurationError):
    """The database can never hold the queue."""


class AppNotFound(ConfigurationError):
    """The module or the `App` inside it does not exist."""


class TaskError(QueueWorkerError):
    """A task is defined or called wrongly."""


class InvalidCall(TaskError, TypeError):
    """The arguments do not fit the task's signature."""


class DuplicateTask(TaskError):
    """Two tasks of one app have the same name."""


class UnknownTask(TaskError):
    """No task of this name is registered."""


class DatabaseError(QueueWorkerError):
    """The database did not do what was asked."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached, or went away."""


class TransactionConflict(DatabaseUnavailable):
    """A deadlock or a serialization failure: nothing was done, the connection is good."""


class LockTimeout(DatabaseUnavailable):
    """Another transaction kept a lock too long: nothing was done, the connection is good."""


class StatementRefused(DatabaseError):
    """A statement holds a value that the database does not take; without it others pass."""


class PermissionDenied(DatabaseError):
    """The role lacks a right: `lacking` says which, without the remedy."""

    def __init__(self, lacking: str, remedy: str = "") -> None:
        super().__init__(f"{lacking}; {remedy}" if remedy else lacking)
        self.lacking = lacking if remedy else ""

    @override
    def __reduce__(self) -> tuple[object, ...]:
        remedy = str(self).removeprefix(f"{self.lacking}; ") if self.lacking else ""
        return (PermissionDenied, (self.lacking or str(self), remedy))


class SchemaMissing(DatabaseError):
    """The schema `queueworker` is not in this database."""


class SchemaMismatch(DatabaseError):
    """The schema's version is not the one that this code speaks."""


class MigrationChanged(DatabaseError):
    """An applied migration differs from the file of the same number."""


class EnqueueRefused(QueueWorkerError):
    """The job is refused: too large, too deep, or out of bounds."""


class DuplicateJob(EnqueueRefused):
    """Job `job_id` of the queue has the same `unique_key`; it waits or runs."""

    def __init__(self, queue: str, unique_key: str, job_id: int) -> None:
        super().__init__(
            f"the unique key {unique_key!r} of queue {queue!r} is taken by job {job_id}; wait for its"
            ' end, or give on_duplicate="keep" or "replace"'
        )
        self.queue = queue
        self.unique_key = unique_key
        self.job_id = job_id

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return (DuplicateJob, (self.queue, self.unique_key, self.job_id))


class LeaseLost(QueueWorkerError):
    """The worker's lease is over; its jobs may run elsewhere."""


class StaleToken(QueueWorkerError):
    """The job has been claimed anew or given back; this run must change nothing."""


class EmbeddedServerError(QueueWorkerError):
    """The embedded Postgres cannot be started or stopped."""


class HandlerSignal(Exception):
    """How a handler chooses its own outcome."""


class RetryAfter(HandlerSignal):
    """Run the job again after `delay_s` seconds; uses up an attempt.

    Raises:
        TypeError: `delay_s` is no number; the attempt then fails with that.
    """

    def __init__(self, delay_s: float, reason: str = "") -> None:
        super().__init__(reason or f"retry after {delay_s} s")
        self.delay_s = float(delay_s)


class Discard(HandlerSignal):
    """Make the job a dead letter now; no attempt would help."""

    def __init__(self, reason: str = "discarded by the handler") -> None:
        super().__init__(reason)
