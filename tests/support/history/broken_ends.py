"""Bugs of a queue that break I5 to I9: effects, order, counts, and the account of crashes."""

from dataclasses import replace

from tests.support.history import (
    Event,
    History,
    Idle,
    Kind,
    Place,
    Write,
)
from tests.support.history.edits import changed, last, of, with_event, without
from tests.support.history.healthy import LATE_S, QUEUE


def lose_an_effect(h: History) -> History:
    return replace(h, effects=list(h.effects or ())[1:])


def double_an_effect(h: History) -> History:
    return replace(h, effects=[*(h.effects or ()), *(h.effects or ())[:1]])


def keep_the_effect_of_a_dead_job(h: History) -> History:
    event = Event(Kind.ENQUEUED, 999, pos=1)
    run = replace(event, kind=Kind.CLAIMED, token=999)
    life = [event, run, replace(run, kind=Kind.DEAD)]
    writes = [*h.writes, Write(Kind.DEAD, 999, 999)]
    return replace(
        h, events=[*h.events, *life], writes=writes, effects=[*(h.effects or ()), (999, 999)]
    )


def lose_an_outside_effect(h: History) -> History:
    return replace(h, external=list(h.external or ())[1:])


def let_an_older_run_overwrite_outside(h: History) -> History:
    job_id, token = (h.external or ())[-1]
    return replace(h, external=[*(h.external or ()), (job_id, token - 1)])


def start_in_the_wrong_order(h: History) -> History:
    batch = [Place(1, 0, 1, 7), Place(2, 9, 2, 8)]
    return replace(h, handed=[*h.handed, batch])


def leave_the_head_of_the_lane(h: History) -> History:
    head = Event(Kind.ENQUEUED, 999, queue_id=QUEUE, lane_id=2, priority=9, pos=0)
    return replace(with_event(h, 0, head), left_alone={999})


def let_a_job_wait_beside_an_idle_slot(h: History) -> History:
    first = Event(Kind.ENQUEUED, 999, at_s=0.0, lane_id=5, pos=1)
    run = replace(first, kind=Kind.CLAIMED, token=999, at_s=3 * LATE_S)
    events = [*h.events, first, run, replace(run, kind=Kind.SUCCEEDED)]
    return replace(h, events=events, idles=[Idle(2 * LATE_S, frozenset({5}))])


def overtake_far(h: History) -> History:
    slow = Event(Kind.ENQUEUED, 998, lane_id=5, pos=1)
    fast = Event(Kind.ENQUEUED, 999, lane_id=5, pos=2)
    claims = [
        replace(fast, kind=Kind.CLAIMED, token=998, at_s=2 * LATE_S),
        replace(slow, kind=Kind.CLAIMED, token=999, at_s=4 * LATE_S),
    ]
    return replace(h, events=[*h.events, slow, fast, *claims])


def forget_the_end_of_a_start(h: History) -> History:
    return without(h, last(h, Kind.FAILED, Kind.RELEASED, Kind.LOST))


def charge_a_release(h: History) -> History:
    event = Event(Kind.ENQUEUED, 999, pos=1)
    runs = [
        replace(event, kind=Kind.CLAIMED, token=998, attempt=1),
        replace(event, kind=Kind.RELEASED, token=998, attempt=1),
        replace(event, kind=Kind.CLAIMED, token=999, attempt=2),
    ]
    return replace(h, events=[*h.events, event, *runs])


def count_a_success_twice(h: History) -> History:
    counts = h.counts
    assert counts is not None
    return replace(h, counts=replace(counts, succeeded=counts.succeeded + 1))


def lose_the_record_of_a_failure(h: History) -> History:
    failed = of(h, Kind.FAILED)
    return replace(h, failures=set(h.failures or ()) - {(failed.job_id, failed.token)})


def let_a_crash_go_uncounted(h: History) -> History:
    return changed(h, last(h, Kind.LOST), crash_count=0)


def let_a_crash_go_uncharged(h: History) -> History:
    return changed(h, last(h, Kind.LOST), kind=Kind.RELEASED)


def survive_the_third_crash(h: History) -> History:
    dead = max(
        n
        for n, e in enumerate(h.events)
        if e.kind is Kind.DEAD and Write(Kind.DEAD, e.job_id, e.token) not in h.writes
    )
    return changed(h, dead, kind=Kind.LOST, crash_count=3)


def bury_at_the_first_crash(h: History) -> History:
    first = next(n for n, e in enumerate(h.events) if e.kind is Kind.LOST and e.crash_count == 1)
    return changed(h, first, kind=Kind.DEAD)


def charge_what_never_started(h: History) -> History:
    lost = of(h, Kind.LOST)
    return replace(h, started=set(h.started) - {(lost.job_id, lost.token)})


def write_after_a_release(h: History) -> History:
    back = of(h, Kind.RELEASED)
    late = Write(Kind.SUCCEEDED, back.job_id, back.token)
    return replace(h, writes=[*h.writes, late])
