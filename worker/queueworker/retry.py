"""Outcome of an attempt -> what happens to the job. Pure: randomness comes in as a number.

running ── Succeeded ─────────────────────────> deleted
        ── Settled ───────────────────────────> (already deleted by the handler's transaction;
                                                 if that was rolled back: as after Failed)
        ── Failed | TimedOut | Cancelled ─┬───> scheduled after the backoff
        ── RetryLater ────────────────────┤
                                          └───> dead, when it was the last attempt
        ── Discarded ─────────────────────────> dead
        ── Released ──────────────────────────> ready, uncharged
"""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from queueworker.job import (
    Cancelled,
    ClaimedJob,
    Discarded,
    Failed,
    FailureKind,
    Outcome,
    Released,
    RetryLater,
    Settled,
    Succeeded,
    TimedOut,
    Transition,
    TransitionKind,
)

MAX_ERROR_CHARACTERS = 4000
MAX_DELAY_S = 30 * 24 * 3600.0
ROLLED_BACK = Failed(error="the handler rolled back the transaction that completed the job")

Backoff = Callable[[int, float], float]
"""(failed attempts so far, a random number in [0, 1)) -> seconds until the next attempt."""


def exponential(*, first_s: float = 1.0, factor: float = 2.0, most_s: float = 600.0) -> Backoff:
    """Build a backoff of `first_s * factor ** (failures - 1)`, at most `most_s`, with jitter.

    Equal jitter (M. Brooker, "Exponential Backoff And Jitter", 2015): half of the delay is
    fixed, half is random, so that retries spread but never come at once.
    """

    def delay_s(failures: int, random_unit: float) -> float:
        exponent = min(failures - 1, 64)
        full_s = min(most_s, first_s * factor**exponent)
        return full_s * (0.5 + random_unit / 2)

    return delay_s


def transition(
    job: ClaimedJob, outcome: Outcome, backoff: Backoff, random_unit: float
) -> Transition:
    """Decide what happens to `job` after `outcome`."""
    match outcome:
        case Succeeded():
            return _plain(job, TransitionKind.SUCCEED)
        case Settled():
            return guarded(transition(job, ROLLED_BACK, backoff, random_unit))
        case Released(has_started=has_started):
            released = TransitionKind.RELEASE_STARTED if has_started else TransitionKind.RELEASE
            return _plain(job, released)
        case Discarded(reason=reason):
            return _dead(job, reason, FailureKind.DISCARDED)
        case RetryLater(delay_s=delay_s, reason=reason):
            return _retry_or_dead(job, delay_s, reason, FailureKind.RETRY_REQUESTED)
        case Failed() | TimedOut() | Cancelled():
            error, kind = _failure(outcome)
            delay_s = _delay_s(job, backoff, random_unit)
            return _retry_or_dead(job, delay_s, error, kind)
        case _:
            assert_never(outcome)


def buried(change: Transition, error: str) -> Transition:
    """Give up a job whose own change cannot be stored."""
    return replace(
        change,
        kind=TransitionKind.DEAD,
        delay_s=0.0,
        error=_storable(error),
        failure=FailureKind.ERROR,
    )


def guarded(change: Transition) -> Transition:
    """Write a change only if the handler rolled back the transaction that completed its job.

    A committed one is gone, so the database refuses this. Left alone, a rolled back one would be
    running for ever: its claim is closed.
    """
    return replace(change, is_guard=True)


def _failure(outcome: Failed | TimedOut | Cancelled) -> tuple[str, FailureKind]:
    match outcome:
        case Failed(error=error, kind=kind):
            return error, kind
        case TimedOut(timeout_s=timeout_s):
            return f"timed out after {timeout_s:g} s", FailureKind.TIMEOUT
        case Cancelled():
            return "the handler cancelled itself", FailureKind.CANCELLED
        case _:
            assert_never(outcome)


def _delay_s(job: ClaimedJob, backoff: Backoff, random_unit: float) -> float:
    failures = max(1, job.attempt - job.crash_count)
    return backoff(failures, random_unit)


def _plain(job: ClaimedJob, kind: TransitionKind) -> Transition:
    return Transition(job_id=job.id, token=job.token, kind=kind)


def _dead(job: ClaimedJob, error: str, failure: FailureKind) -> Transition:
    return Transition(
        job_id=job.id,
        token=job.token,
        kind=TransitionKind.DEAD,
        error=_storable(error),
        failure=failure,
    )


def _retry_or_dead(job: ClaimedJob, delay_s: float, error: str, failure: FailureKind) -> Transition:
    is_crash = failure is FailureKind.CRASH
    if job.is_last_crash if is_crash else job.is_last_attempt:
        return _dead(job, error, failure)
    return Transition(
        job_id=job.id,
        token=job.token,
        kind=TransitionKind.RETRY,
        delay_s=_bounded_s(delay_s),
        error=_storable(error),
        failure=failure,
    )


def _bounded_s(delay_s: float) -> float:
    # A user's backoff may give any number, and nonsense: not-a-number compares false and becomes the
    # longest. The array that is written takes one type alone.
    delay_s = float(delay_s)
    return max(0.0, delay_s) if delay_s <= MAX_DELAY_S else MAX_DELAY_S


def _storable(error: str) -> str:
    # Postgres text holds neither NUL nor lone surrogates; a failure must never fail to be stored.
    text = error[:MAX_ERROR_CHARACTERS].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode("utf-8", "replace").decode("utf-8")
