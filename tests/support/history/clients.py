"""The log against what the clients know and the tables hold: I3, I5, I7, I9."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from tests.support.history.events import ENDS, TERMINAL, Event, History, Kind, Pair, Violation


def check(history: History, by_job: Mapping[int, Sequence[Event]]) -> Iterator[Violation]:
    """Give what the database said to a client and did not do, or did and did not say."""
    yield from _writes(history)
    ends = {job_id: _end(events) for job_id, events in by_job.items()}
    if history.effects is not None:
        yield from _effects(history.effects, ends)
    if history.external is not None:
        yield from _external(history.external, ends)
    if history.failures is not None:
        yield from _failures(history)
    if history.counts is not None:
        yield from _counts(history)


def _writes(history: History) -> Iterator[Violation]:
    done = Counter((e.kind, e.job_id, e.token) for e in history.events if e.kind in ENDS)
    written: set[Pair] = set()
    released: set[Pair] = set()
    for write in history.writes:
        pair = (write.job_id, write.token)
        if not write.is_accepted:
            continue
        if pair in released:
            yield Violation("I9", write.job_id, f"{write.kind.value} after the release of {pair}")
        if not done[write.kind, *pair]:
            yield Violation("I3", write.job_id, f"{write} was accepted and did something else")
        if pair in written:
            yield Violation("I3", write.job_id, f"{write} was accepted beside an earlier write")
        written.add(pair)
        if write.kind is Kind.RELEASED:
            released.add(pair)


def _end(events: Sequence[Event]) -> Event | None:
    """Give the last terminal event, None for a job that is alive."""
    last = [event for event in events if event.kind in TERMINAL or event.kind is Kind.ENQUEUED][-1:]
    return last[0] if last and last[0].kind in TERMINAL else None


def _effects(effects: Sequence[Pair], ends: Mapping[int, Event | None]) -> Iterator[Violation]:
    tokens: dict[int, list[int]] = defaultdict(list)
    for job_id, token in effects:
        tokens[job_id].append(token)
    for job_id in set(tokens) | set(ends):
        end = ends.get(job_id)
        is_done = end is not None and end.kind is Kind.SUCCEEDED
        wanted = [end.token] if end is not None and is_done else []
        if tokens[job_id] != wanted:
            text = f"its end is {end and end.kind.value}, its effects came under {tokens[job_id]}"
            yield Violation("I5", job_id, text)


def _external(external: Sequence[Pair], ends: Mapping[int, Event | None]) -> Iterator[Violation]:
    tokens: dict[int, list[int]] = defaultdict(list)
    for job_id, token in external:
        tokens[job_id].append(token)
    for job_id, drawn in tokens.items():
        if any(later <= earlier for earlier, later in pairwise(drawn)):
            yield Violation("I5", job_id, f"its outside effects came under {drawn}")
    for job_id, end in ends.items():
        is_done = end is not None and end.kind is Kind.SUCCEEDED
        if end is not None and is_done and end.token not in tokens[job_id]:
            text = f"succeeded under {end.token}, its outside effects came under {tokens[job_id]}"
            yield Violation("I5", job_id, text)


def _failures(history: History) -> Iterator[Violation]:
    for event in history.events:
        has_failed = event.kind in {Kind.FAILED, Kind.LOST, Kind.DEAD}
        if has_failed and (event.job_id, event.token) not in (history.failures or ()):
            text = f"{event.kind.value} under {event.token} without a record of the failure"
            yield Violation("I7", event.job_id, text)


def _counts(history: History) -> Iterator[Violation]:
    counts = history.counts
    seen = Counter(event.kind for event in history.events)
    if counts is None:
        return
    for what, counted, happened in (
        ("succeeded", counts.succeeded, seen[Kind.SUCCEEDED]),
        ("retried", counts.retried, seen[Kind.FAILED]),
        ("released or rescued", counts.given_back, seen[Kind.RELEASED] + seen[Kind.LOST]),
    ):
        if counted != happened:
            yield Violation("I7", 0, f"{counted} counted as {what}, {happened} were")
