"""Bugs of a queue that break I1 to I4: jobs lost or run twice, tokens and leases that mean nothing."""

from dataclasses import replace

from tests.support.history import (
    Event,
    History,
    Kind,
    LeaseChange,
    LeaseKind,
    Write,
)
from tests.support.history.edits import changed, last, of, with_event, without
from tests.support.history.healthy import TTL_S


def lose_a_job(h: History) -> History:
    return without(h, last(h, Kind.SUCCEEDED))


def never_claim_a_job(h: History) -> History:
    return with_event(h, len(h.events), Event(Kind.ENQUEUED, 999, pos=999))


def run_what_was_never_enqueued(h: History) -> History:
    events = [Event(Kind.CLAIMED, 999, 999), Event(Kind.SUCCEEDED, 999, 999)]
    return replace(h, events=[*h.events, *events])


def forget_a_committed_enqueue(h: History) -> History:
    return replace(h, committed={*h.committed, 999})


def keep_a_rolled_back_enqueue(h: History) -> History:
    return replace(h, rolled_back={h.events[0].job_id})


def let_a_row_vanish(h: History) -> History:
    return changed(h, last(h, Kind.SUCCEEDED), kind=Kind.VANISHED, token=0)


def give_a_key_to_two_jobs(h: History) -> History:
    keyed = replace(of(h, Kind.ENQUEUED), unique_key="mine")
    twins = [replace(keyed, job_id=998), replace(keyed, job_id=999)]
    return replace(h, events=[*h.events, *twins], left_alone={998, 999})


def forget_the_key_of_a_job(h: History) -> History:
    twins = [Event(Kind.ENQUEUED, job_id) for job_id in (998, 999)]
    keys = {998: "mine", 999: "mine"}
    return replace(h, events=[*h.events, *twins], keys=keys, left_alone=set(keys))


def enqueue_again_after_success(h: History) -> History:
    return with_event(h, len(h.events), Event(Kind.ENQUEUED, of(h, Kind.SUCCEEDED).job_id))


def succeed_twice(h: History) -> History:
    end = of(h, Kind.SUCCEEDED)
    again = [replace(end, kind=Kind.CLAIMED, token=900), replace(end, token=900)]
    return replace(h, events=[*h.events, *again])


def bury_after_success(h: History) -> History:
    return with_event(h, len(h.events), replace(of(h, Kind.SUCCEEDED), kind=Kind.DEAD))


def acknowledge_by_id(h: History) -> History:
    # A zombie's success takes the row away under the new owner's token.
    end = of(h, Kind.SUCCEEDED)
    return replace(h, writes=[*h.writes, Write(Kind.SUCCEEDED, end.job_id, end.token - 1)])


def succeed_without_a_client(h: History) -> History:
    end = of(h, Kind.SUCCEEDED)
    wish = Write(Kind.SUCCEEDED, end.job_id, end.token)
    return replace(h, writes=[write for write in h.writes if write != wish])


def reuse_a_token(h: History) -> History:
    return changed(h, last(h, Kind.CLAIMED), token=0)


def accept_a_release_after_rescue(h: History) -> History:
    lost = of(h, Kind.LOST)
    return replace(h, writes=[*h.writes, Write(Kind.RELEASED, lost.job_id, lost.token)])


def accept_a_write_twice(h: History) -> History:
    return replace(h, writes=[*h.writes, h.writes[last_accepted(h)]])


def last_accepted(h: History) -> int:
    return max(n for n, write in enumerate(h.writes) if write.kind is Kind.SUCCEEDED)


def write_under_an_older_token(h: History) -> History:
    place = last(h, Kind.SUCCEEDED)
    return changed(h, place, token=h.events[place].token - 1)


def claim_what_is_running(h: History) -> History:
    place = last(h, Kind.CLAIMED)
    return with_event(h, place + 1, replace(h.events[place], token=901))


def rescue_a_live_lease(h: History) -> History:
    lost = of(h, Kind.LOST)
    worker = h.holders[lost.token]
    renewed = LeaseChange(LeaseKind.RENEWED, worker, lost.at_s - 0.001, float("inf"), 0)
    return replace(h, leases=[*h.leases, renewed], ttl_s={})


def lease_by_the_clients_clock(h: History) -> History:
    # What the worker was promised outlasts what the database was told.
    longer = {worker: ttl_s + 9 * TTL_S for worker, ttl_s in h.ttl_s.items()}
    return replace(h, ttl_s=longer)
