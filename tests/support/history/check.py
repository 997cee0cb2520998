"""All invariants over one history."""

from collections import defaultdict
from collections.abc import Iterator

from tests.support.history import clients, lives, order
from tests.support.history.events import TERMINAL, Event, History, Kind, Violation


def check(history: History) -> list[Violation]:
    """Give every broken promise; none means that the history keeps the contract."""
    by_job: dict[int, list[Event]] = defaultdict(list)
    for event in history.events:
        by_job[event.job_id].append(event)
    found = [*_enqueues(history, by_job), *_unique_keys(history)]
    accepted = history.accepted()
    for job_id, events in by_job.items():
        found += lives.check(job_id, events, history, accepted)
    found += clients.check(history, by_job)
    found += order.check(history)
    return found


def invariants(history: History) -> set[str]:
    """Give the names of the broken promises."""
    return {violation.invariant for violation in check(history)}


def _enqueues(history: History, by_job: dict[int, list[Event]]) -> Iterator[Violation]:
    for job_id in set(history.committed) - set(by_job):
        yield Violation("I1", job_id, "its enqueue was committed, the database never had it")
    for job_id in set(history.rolled_back) & set(by_job):
        yield Violation("I1", job_id, "its enqueue was rolled back, the database has it")
    for job_id, events in by_job.items():
        turns = [event.kind for event in events if event.kind in TERMINAL | {Kind.ENQUEUED}]
        if turns[-1:] in ([], [Kind.ENQUEUED]) and job_id not in history.left_alone:
            yield Violation("I1", job_id, "enqueued, never finished")


def _unique_keys(history: History) -> Iterator[Violation]:
    holder: dict[tuple[int, str], int] = {}
    keys: dict[int, tuple[int, str]] = {}
    for event in history.events:
        asked = history.keys.get(event.job_id, event.unique_key)
        if event.kind is Kind.ENQUEUED and asked is not None:
            key = (event.queue_id, asked)
            if holder.get(key, event.job_id) != event.job_id:
                yield Violation("I1", event.job_id, f"{key} is held by job {holder[key]}")
            holder[key], keys[event.job_id] = event.job_id, key
        elif event.kind in TERMINAL | {Kind.VANISHED}:
            key_of = keys.pop(event.job_id, None)
            if key_of is not None and holder.get(key_of) == event.job_id:
                del holder[key_of]
