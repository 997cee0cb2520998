"""A job and what may become of it. Pure: no clock, no database, no randomness."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, get_args

from queueworker.errors import EnqueueRefused

MAX_CRASHES = 3

Policy = Literal["keep", "reject", "replace"]
POLICIES: Final = get_args(Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One call of a task, not enqueued yet.

    `args` are keyword arguments and must be JSON. `timeout_s` of None means no limit. `delay_s` counts
    by the database's clock. While a job with the same `unique_key` waits or runs in the queue,
    `on_duplicate` says what becomes of this one: "keep" that one and enqueue nothing, "reject" with
    `DuplicateJob`, or "replace" it while it waits.
    """

    task: str
    queue: str
    args: Mapping[str, object]
    priority: int = 0
    max_attempts: int = 5
    timeout_s: float | None = None
    run_at: datetime | None = None
    delay_s: float | None = None
    unique_key: str | None = None
    on_duplicate: Policy = "keep"
    # The arguments as they were at the call; another job made by `replace` does not inherit it.
    args_json: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise EnqueueRefused("run_at has no time zone; give an aware datetime, or delay_s")
        if self.run_at is not None and self.delay_s is not None:
            raise EnqueueRefused("both run_at and delay_s are set; give one of them")
        if self.on_duplicate not in POLICIES:
            raise EnqueueRefused("on_duplicate must be keep, reject or replace")

    def using(self, **options: Any) -> "Job":
        """Give the same job with other options, say `delay_s=60` or `unique_key="order-7"`.

        Raises:
            TypeError: an option is not a field of `Job`.
        """
        other = replace(self, **options)
        return other if "args" in options else with_json(other, self.args_json)


def with_json(job: Job, args_json: str) -> Job:
    """Let a job that nobody else has seen yet remember the JSON text of its arguments."""
    object.__setattr__(job, "args_json", args_json)
    return job


(
    _set_task,
    _set_queue,
    _set_args,
    _set_priority,
    _set_max_attempts,
    _set_timeout_s,
    _set_run_at,
    _set_delay_s,
    _set_unique_key,
    _set_on_duplicate,
    _set_args_json,
) = (Job.__dict__[one.name].__set__ for one in fields(Job))


def job_now(
    *,
    task: str,
    queue: str,
    args: Mapping[str, object],
    priority: int,
    max_attempts: int,
    timeout_s: float | None,
    unique_key: str | None,
    on_duplicate: Policy,
    args_json: str,
) -> Job:
    """Build a job to run at once, from values that were checked before.

    A call of a task is worth it: `Job(...)` takes three times as long, by its checks and by the way
    in which a frozen dataclass sets its fields.
    """
    job = object.__new__(Job)
    _set_task(job, task)
    _set_queue(job, queue)
    _set_args(job, args)
    _set_priority(job, priority)
    _set_max_attempts(job, max_attempts)
    _set_timeout_s(job, timeout_s)
    _set_run_at(job, None)
    _set_delay_s(job, None)
    _set_unique_key(job, unique_key)
    _set_on_duplicate(job, on_duplicate)
    _set_args_json(job, args_json)
    return job


class ClaimedJob(NamedTuple):
    """One job that this worker may run, under the fencing number `token`: a row of a claim.

    `attempt` counts starts from 1, crashes included; `crash_count` counts earlier runs whose
    worker died. A job whose next crash would bury it is a suspect: it runs alone in its worker.
    `run_at_wait_s` is the time from ready to this claim, by the database's clock. `args` is JSON,
    decoded where the job runs. A tuple, because a frozen dataclass costs a tenth of a short job.
    """

    token: int
    id: int
    lane: int
    pos: int
    attempt: int
    max_attempts: int
    crash_count: int
    timeout_s: float | None
    run_at_wait_s: float
    args: str

    @property
    def is_suspect(self) -> bool:
        """Tell whether the next crash would be the last: it must not be a neighbour's."""
        return self.crash_count >= MAX_CRASHES - 1

    @property
    def is_last_attempt(self) -> bool:
        """Tell whether a failure now makes a dead letter; crashes do not use up attempts."""
        return self.attempt - self.crash_count >= self.max_attempts

    @property
    def is_last_crash(self) -> bool:
        """Tell whether a crash now makes a dead letter."""
        return self.crash_count + 1 >= MAX_CRASHES


class FailureKind(Enum):
    """Why an attempt failed, as the table `failure` stores it."""

    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    RETRY_REQUESTED = "retry_requested"
    DISCARDED = "discarded"
    INVALID_ARGS = "invalid_args"
    CRASH = "crash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The handler returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The handler raised, or its arguments do not fit it; `traceback` is for the log."""

    error: str
    kind: FailureKind = FailureKind.ERROR
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """The handler ran longer than `timeout_s`."""

    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The handler cancelled itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The job was given back before its end; `reason` is for the log."""

    reason: str
    has_started: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLater:
    """The handler asked for another attempt after `delay_s`."""

    delay_s: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """The handler gave the job up."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The job was completed in the handler's own transaction."""


Outcome = Succeeded | Failed | TimedOut | Cancelled | Released | RetryLater | Discarded | Settled


class TransitionKind(Enum):
    """What the database does with a running job; `SETTLED` writes nothing: it has gone already.

    `RELEASE` gives back a job that has not started: it has waited since it became ready. One that
    has started waits anew: `RELEASE_STARTED`.
    """

    SUCCEED = "succeed"
    RETRY = "retry"
    DEAD = "dead"
    RELEASE = "release"
    RELEASE_STARTED = "release_started"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One fenced change: it takes place only while `token` still owns the job.

    A guard is expected to be refused: the handler's own transaction has completed the job.
    """

    job_id: int
    token: int
    kind: TransitionKind
    delay_s: float = 0.0
    error: str = ""
    failure: FailureKind | None = None
    is_guard: bool = False


SUCCEEDED = Succeeded()
