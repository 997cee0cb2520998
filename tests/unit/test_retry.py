import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    TransitionKind,
)
from queueworker.retry import MAX_DELAY_S, exponential, transition


def job(attempt: int = 1, max_attempts: int = 3, crash_count: int = 0) -> ClaimedJob:
    return ClaimedJob(
        token=7,
        id=42,
        lane=1,
        pos=1,
        attempt=attempt,
        max_attempts=max_attempts,
        crash_count=crash_count,
        timeout_s=None,
        run_at_wait_s=0.0,
        args="{}",
    )


FAILURES: list[Outcome] = [
    Failed(error="x"),
    TimedOut(timeout_s=1),
    Cancelled(),
    RetryLater(delay_s=1),
]
ENDS: list[tuple[Outcome, TransitionKind]] = [
    (Succeeded(), TransitionKind.SUCCEED),
    (Released(reason="drain"), TransitionKind.RELEASE),
    (Released(reason="drain", has_started=True), TransitionKind.RELEASE_STARTED),
    (Discarded(reason="no"), TransitionKind.DEAD),
]


@pytest.mark.parametrize(("outcome", "kind"), ENDS)
def test_an_end_that_needs_no_attempt_is_the_same_at_every_attempt(
    outcome: Outcome, kind: TransitionKind
) -> None:
    kinds = {transition(job(attempt), outcome, exponential(), 0.5).kind for attempt in (1, 2, 3, 9)}

    assert kinds == {kind}


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_failure_is_retried_until_the_attempts_are_used_up(outcome: Outcome) -> None:
    kinds = [transition(job(attempt), outcome, exponential(), 0.5).kind for attempt in (1, 2, 3)]

    assert kinds == [TransitionKind.RETRY, TransitionKind.RETRY, TransitionKind.DEAD]


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_crash_uses_up_no_attempt(outcome: Outcome) -> None:
    after_a_crash = transition(job(attempt=3, crash_count=1), outcome, exponential(), 0.5)

    assert after_a_crash.kind is TransitionKind.RETRY


def test_each_failure_is_stored_under_its_kind() -> None:
    kinds = [transition(job(), outcome, exponential(), 0.5).failure for outcome in FAILURES]

    assert kinds == [
        FailureKind.ERROR,
        FailureKind.TIMEOUT,
        FailureKind.CANCELLED,
        FailureKind.RETRY_REQUESTED,
    ]


def test_a_settled_job_is_guarded_against_a_rollback_which_uses_up_an_attempt() -> None:
    first, last = (transition(job(attempt), Settled(), exponential(), 0.0) for attempt in (1, 3))

    assert (first.is_guard, first.kind, first.delay_s) == (True, TransitionKind.RETRY, 0.5)
    assert (last.is_guard, last.kind) == (True, TransitionKind.DEAD)
    assert "rolled back" in last.error


@pytest.mark.parametrize("delay_s", [3, Decimal(3), Fraction(3), True])
def test_a_backoff_of_any_number_becomes_a_float(delay_s: float) -> None:
    change = transition(job(), Failed(error="x"), lambda _failures, _unit: delay_s, 0.5)

    assert type(change.delay_s) is float


def test_a_handlers_own_delay_is_taken_as_it_is() -> None:
    assert transition(job(), RetryLater(delay_s=12.5), exponential(), 0.9).delay_s == 12.5


def test_the_transition_carries_the_token_of_the_claim() -> None:
    change = transition(job(), Succeeded(), exponential(), 0.5)

    assert (change.job_id, change.token) == (42, 7)


@given(failures=st.integers(1, 10_000), random_unit=st.floats(0, 1, exclude_max=True))
def test_a_backoff_stays_between_half_and_whole(failures: int, random_unit: float) -> None:
    full_s = min(600.0, 2.0 ** min(failures - 1, 64))
    delay_s = exponential()(failures, random_unit)

    assert full_s / 2 <= delay_s <= full_s


@given(random_unit=st.floats(0, 1, exclude_max=True), failures=st.integers(1, 50))
def test_a_later_failure_never_waits_less_at_equal_luck(random_unit: float, failures: int) -> None:
    backoff = exponential()

    assert backoff(failures, random_unit) <= backoff(failures + 1, random_unit)


@given(delay_s=st.floats())
def test_nonsense_from_a_backoff_becomes_a_bounded_delay(delay_s: float) -> None:
    change = transition(job(), Failed(error="x"), lambda _failures, _unit: delay_s, 0.5)

    assert 0 <= change.delay_s <= MAX_DELAY_S
    assert math.isfinite(change.delay_s)


@given(error=st.text())
def test_any_error_text_can_be_stored(error: str) -> None:
    stored = transition(job(), Failed(error=error), exponential(), 0.5).error

    assert "\0" not in stored
    assert stored.encode("utf-8").decode("utf-8") == stored
    assert len(stored) <= 4000


def test_a_lone_surrogate_in_an_error_is_replaced() -> None:
    assert transition(job(), Failed(error="\ud800"), exponential(), 0.5).error == "?"
