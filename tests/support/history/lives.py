"""What the log alone tells of one job: I1-I4, I7, I8."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from tests.support.history.events import (
    ENDS,
    TERMINAL,
    Event,
    History,
    Kind,
    LeaseKind,
    Violation,
)

MOST_CRASHES = 3
CLOCK_SLACK_S = 0.05

Accepted = Collection[tuple[Kind, int, int]]


@dataclass
class _Life:
    """A job between its enqueue (or a dead letter's redrive) and its end."""

    owner: int = 0
    charged: int = 0
    crashes: int = 0
    terminals: list[Kind] = field(default_factory=list)


def check(
    job_id: int, events: Sequence[Event], history: History, accepted: Accepted
) -> Iterator[Violation]:
    """Walk through the job's events in the database's order."""
    life, last_token = _Life(), 0
    yield from _row(job_id, events)
    for number, event in enumerate(events):
        if event.kind is Kind.ENQUEUED:
            yield from _redriven(event, life) if number else ()
            life = _Life()
        elif event.kind is Kind.CLAIMED:
            yield from _claimed(event, life, last_token)
            life.owner = last_token = event.token
        elif event.kind is Kind.ISOLATED:
            yield from _isolated(event, life, last_token)
            life.owner = last_token = event.token
        elif event.kind in ENDS:
            yield from _ended(event, life, (event.kind, job_id, event.token) in accepted, history)
    if life.owner:
        yield Violation("I7", job_id, f"start {life.owner} never ended")
    yield from _leases(events, history, accepted)


def _row(job_id: int, events: Sequence[Event]) -> Iterator[Violation]:
    if events[0].kind is not Kind.ENQUEUED:
        yield Violation("I1", job_id, "ran without having been enqueued")
    if any(event.kind is Kind.VANISHED for event in events):
        yield Violation("I1", job_id, "its row was taken away without an end")


def _redriven(event: Event, life: _Life) -> Iterator[Violation]:
    if not life.terminals or life.terminals[-1] is Kind.SUCCEEDED:
        yield Violation("I1", event.job_id, "enqueued again although it was no dead letter")


def _claimed(event: Event, life: _Life, last_token: int) -> Iterator[Violation]:
    if life.owner:
        yield Violation(
            "I4", event.job_id, f"claimed under {event.token} while {life.owner} owned it"
        )
        yield Violation("I7", event.job_id, f"start {life.owner} never ended")
    if event.token <= last_token:
        yield Violation("I3", event.job_id, f"token {event.token} after {last_token}")
    if life.terminals:
        yield Violation("I2", event.job_id, "claimed after its end")
    if event.attempt and event.attempt != life.charged + 1:
        yield Violation(
            "I7", event.job_id, f"start {event.attempt} after {life.charged} charged attempts"
        )


def _isolated(event: Event, life: _Life, last_token: int) -> Iterator[Violation]:
    if not life.owner:
        yield Violation("I4", event.job_id, f"isolated under {event.token}, and nobody owned it")
    if event.token <= last_token:
        yield Violation("I3", event.job_id, f"token {event.token} after {last_token}")


def _ended(event: Event, life: _Life, is_by_client: bool, history: History) -> Iterator[Violation]:
    if event.kind is Kind.CANCELLED and not event.token:
        pass  # a waiting job has no owner
    elif event.token != life.owner:
        yield Violation("I3", event.job_id, f"{event} while {life.owner} owned the job")
    life.owner = 0
    life.charged += event.kind is not Kind.RELEASED
    # A child process that crashed is charged by its living worker.
    is_childs = event.kind is Kind.FAILED and event.crash_count > life.crashes
    if event.kind is Kind.LOST or is_childs:
        life.crashes += 1
        yield from _crashed(event, life)
    if history.writes and not is_by_client:
        yield from _rescued(event, life, history)
    if event.kind in TERMINAL:
        life.terminals.append(event.kind)
        if len(life.terminals) > 1:
            yield Violation("I2", event.job_id, f"ended as {[k.value for k in life.terminals]}")


def _crashed(event: Event, life: _Life) -> Iterator[Violation]:
    if life.crashes >= MOST_CRASHES:
        yield Violation("I8", event.job_id, f"alive after crash {life.crashes}")
    if event.crash_count != life.crashes:
        yield Violation("I8", event.job_id, f"crash {life.crashes} counts {event.crash_count}")


def _rescued(event: Event, life: _Life, history: History) -> Iterator[Violation]:
    """Look at an end that no client wrote."""
    has_started = (event.job_id, event.token) in history.started
    if event.kind in {Kind.SUCCEEDED, Kind.FAILED}:
        yield Violation("I3", event.job_id, f"{event.kind.value}, and no client was told so")
    if event.kind is Kind.RELEASED and has_started:
        yield Violation("I8", event.job_id, f"a crash under {event.token} was not charged")
    if event.kind is Kind.LOST and not has_started:
        yield Violation("I8", event.job_id, f"charged for a crash under {event.token}, unstarted")
    if event.kind is Kind.DEAD and life.crashes != MOST_CRASHES - 1:
        yield Violation("I8", event.job_id, f"dead after {life.crashes + 1} crashes")


def _leases(events: Sequence[Event], history: History, accepted: Accepted) -> Iterator[Violation]:
    """Find a new claim inside the lease of a run that was taken away."""
    taken: Event | None = None
    for event in events:
        is_by_client = (event.kind, event.job_id, event.token) in accepted
        if event.kind in {Kind.LOST, Kind.RELEASED} and not is_by_client:
            taken = event
        elif event.kind is Kind.CLAIMED and taken is not None:
            until_s = _held_until_s(taken, history)
            if event.at_s < until_s - CLOCK_SLACK_S:
                yield Violation(
                    "I4",
                    event.job_id,
                    f"claimed {until_s - event.at_s:.2f} s before the lease of {taken.token} ended",
                )
            taken = None


def _held_until_s(taken: Event, history: History) -> float:
    """Give until when the holder of a token may have believed in its lease."""
    worker = history.holders.get(taken.token)
    until_s = 0.0
    for change in history.leases:
        if change.worker != worker or change.at_s >= taken.at_s:
            continue
        if change.kind in {LeaseKind.GAINED, LeaseKind.RENEWED}:
            ttl_s = history.ttl_s.get(change.worker)
            until_s = change.expires_at_s if ttl_s is None else change.at_s + ttl_s
        elif change.kind is LeaseKind.ENDED:
            until_s = 0.0
    return until_s
