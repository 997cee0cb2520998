"""One log line for each attempt that came to nothing: which job, why, and what comes next."""

import logging
from collections.abc import Mapping

from queueworker.job import (
    ClaimedJob,
    Discarded,
    Failed,
    Outcome,
    RetryLater,
    Settled,
    Transition,
    TransitionKind,
)

logger = logging.getLogger(__name__)


def log_failure(task: str, job: ClaimedJob, outcome: Outcome, change: Transition) -> None:
    """Log a failed attempt: a dead letter as error, a wished retry as information."""
    attempt = max(1, job.attempt - job.crash_count)
    logger.log(
        _level(outcome, change),
        "job %d (%s) attempt %d of %d %s: %s; %s",
        job.id,
        task,
        attempt,
        job.max_attempts,
        _verb(outcome),
        " ".join(change.error.split()),
        _next(change),
        extra=_fields(task, job, outcome),
    )


def log_settled(task: str, job: ClaimedJob, outcome: Outcome, change: Transition) -> None:
    """Log what came after a job was completed in a transaction: it stands only if that was not committed."""
    if isinstance(outcome, Settled):
        return
    logger.error(
        "job %d (%s) failed after it was completed: %s; %s if its transaction was rolled back",
        job.id,
        task,
        " ".join(change.error.split()),
        _next(change),
        extra=_fields(task, job, outcome),
    )


def _level(outcome: Outcome, change: Transition) -> int:
    if isinstance(outcome, Discarded):
        return logging.WARNING
    if change.kind is TransitionKind.DEAD:
        return logging.ERROR
    return logging.INFO if isinstance(outcome, RetryLater) else logging.WARNING


def _verb(outcome: Outcome) -> str:
    match outcome:
        case Discarded():
            return "was discarded"
        case RetryLater():
            return "asked for another"
        case _:
            return "failed"


def _next(change: Transition) -> str:
    if change.kind is TransitionKind.DEAD:
        return "dead"
    return f"again in {change.delay_s:.1f} s"


def _fields(task: str, job: ClaimedJob, outcome: Outcome) -> Mapping[str, object]:
    fields = {"job_id": job.id, "task": task, "attempt": job.attempt}
    if isinstance(outcome, Failed) and outcome.traceback:
        return {**fields, "traceback": outcome.traceback}
    return fields
