"""Who came before whom: I6."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from tests.support.history.events import TERMINAL, Event, History, Kind, Place, Violation

READY = {Kind.ENQUEUED, Kind.PROMOTED, Kind.RELEASED, Kind.LOST, Kind.FAILED}


@dataclass(frozen=True, slots=True)
class _Wait:
    """A job from when it could be claimed until it was."""

    job_id: int
    lane_id: int
    pos: int
    from_s: float
    until_s: float


def check(history: History) -> Iterator[Violation]:
    """Give jobs that were overtaken, or waited beside an idle slot."""
    waits = list(_waits(history.events))
    yield from _idles(waits, history)
    yield from _overtaken(waits, history)
    for batch in history.handed:
        yield from _handed(batch)
    for queue_id in history.strict_queues:
        yield from _strict([e for e in history.events if e.queue_id == queue_id])


def _waits(events: Sequence[Event]) -> Iterator[_Wait]:
    since: dict[int, float] = {}
    for event in events:
        if event.kind in READY:
            # A scheduled one counts from when it is due: to promote it is a sweep's work.
            from_s = event.at_s if event.pos is not None else max(event.at_s, event.run_at_s)
            since[event.job_id] = min(from_s, since.get(event.job_id, from_s))
        elif event.kind is Kind.CLAIMED and event.job_id in since:
            from_s = since.pop(event.job_id)
            yield _Wait(event.job_id, event.lane_id, event.pos or 0, from_s, event.at_s)
        else:
            since.pop(event.job_id, None)


def _idles(waits: Iterable[_Wait], history: History) -> Iterator[Violation]:
    by_lane: dict[int, list[float]] = defaultdict(list)
    for idle in sorted(history.idles, key=lambda idle: idle.at_s):
        for lane_id in idle.lanes:
            by_lane[lane_id].append(idle.at_s)
    for wait in waits:
        times = by_lane[wait.lane_id]
        place = bisect_right(times, wait.from_s + history.bound_s)
        if place < len(times) and times[place] < wait.until_s:
            text = f"ready for {times[place] - wait.from_s:.2f} s while a slot idled"
            yield Violation("I6", wait.job_id, text)


def _overtaken(waits: Sequence[_Wait], history: History) -> Iterator[Violation]:
    by_lane: dict[int, list[_Wait]] = defaultdict(list)
    for wait in waits:
        by_lane[wait.lane_id].append(wait)
    for wait in waits:
        earliest_s, latest_s = wait.from_s + history.bound_s, wait.until_s - history.bound_s
        if earliest_s < latest_s:
            for other in by_lane[wait.lane_id]:
                if other.pos > wait.pos and earliest_s < other.until_s < latest_s:
                    text = f"overtaken by job {other.job_id}, far behind it in its lane"
                    yield Violation("I6", wait.job_id, text)
                    break


def _handed(batch: Sequence[Place]) -> Iterator[Violation]:
    for first, second in pairwise(batch):
        if _precedes(second, first):
            yield Violation("I6", second.job_id, f"was to start after {first}, stood before it")


def _strict(events: Sequence[Event]) -> Iterator[Violation]:
    """Check each claim of a queue's only worker: no better job stays behind."""
    ready: dict[int, Place] = {}
    for (kind, _), group in groupby(events, key=lambda event: (event.kind, event.token)):
        if kind is Kind.CLAIMED:
            claimed = [_place(event) for event in group]
            for place in claimed:
                ready.pop(place.job_id, None)
            for left in ready.values():
                if any(_precedes(left, place) for place in claimed):
                    yield Violation("I6", left.job_id, "a claim took jobs that stood behind it")
            continue
        for event in () if kind is Kind.ISOLATED else group:
            if event.kind in TERMINAL or event.pos is None:
                ready.pop(event.job_id, None)
            else:
                ready[event.job_id] = _place(event)


def _place(event: Event) -> Place:
    return Place(event.job_id, event.priority, event.lane_id, event.pos or 0)


def _precedes(one: Place, other: Place) -> bool:
    if one.priority != other.priority:
        return one.priority > other.priority
    return one.lane_id == other.lane_id and one.pos < other.pos
