"""The checker itself: valid histories pass, and each invariant has broken ones that are named."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.history import (
    ENDS,
    TERMINAL,
    Counts,
    Event,
    History,
    Idle,
    Kind,
    LeaseChange,
    LeaseKind,
    Place,
    Write,
    check,
    invariants,
)
from tests.support.history.record import fold

QUEUE, TTL_S, LATE_S = 1, 10.0, 100.0


class Simulation:
    """A queue that keeps the contract, with three workers; what happens is drawn at random."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now_s = 1000.0
        self.pos = self.token = self.job_id = 0
        self.events: list[Event] = []
        self.leases: list[LeaseChange] = []
        self.holders: dict[int, str] = {}
        self.writes: list[Write] = []
        self.started: set[tuple[int, int]] = set()
        self.effects: list[tuple[int, int]] = []
        self.external: list[tuple[int, int]] = []
        self.failures: set[tuple[int, int]] = set()
        self.handed: list[list[Place]] = []
        self.ready: dict[int, Event] = {}
        self.scheduled: dict[int, Event] = {}
        self.running: dict[int, Event] = {}
        self.dead: dict[int, Event] = {}
        self.losses: dict[int, int] = {}
        self.ends_s: dict[str, float] = {}

    def note(self, event: Event) -> Event:
        self.now_s += self.rng.uniform(0.001, 0.01)
        event = replace(event, at_s=self.now_s)
        self.events.append(event)
        return event

    def next_pos(self) -> int:
        self.pos += 1
        return self.pos

    def enqueue(self) -> None:
        self.job_id += 1
        lane = self.rng.choice([1, 2])
        key = self.rng.choice([None, f"key {self.job_id}"])
        job = Event(Kind.ENQUEUED, self.job_id, queue_id=QUEUE, lane_id=lane, priority=lane)
        job = replace(job, unique_key=key, pos=self.next_pos())
        if self.rng.random() < 0.3:
            self.scheduled[job.job_id] = self.note(
                replace(job, pos=None, run_at_s=self.now_s + 0.05)
            )
        else:
            self.ready[job.job_id] = self.note(job)

    def promote(self) -> None:
        for job in self.scheduled.values():
            self.ready[job.job_id] = self.note(
                replace(job, kind=Kind.PROMOTED, pos=self.next_pos())
            )
        self.scheduled = {}

    def lease(self, worker: str) -> None:
        kind = LeaseKind.RENEWED if self.now_s < self.ends_s.get(worker, 0) else LeaseKind.GAINED
        self.ends_s[worker] = self.now_s + TTL_S
        change = LeaseChange(kind, worker, self.now_s, self.ends_s[worker], len(self.events))
        self.leases.append(change)

    def claim(self, worker: str, most: int) -> list[Event]:
        self.lease(worker)
        order = sorted(self.ready.values(), key=lambda job: (-job.priority, job.pos or 0))[:most]
        self.token += bool(order)
        claimed = []
        for job in order:
            del self.ready[job.job_id]
            run = replace(job, kind=Kind.CLAIMED, token=self.token, attempt=job.attempt + 1)
            self.running[job.job_id] = self.note(run)
            self.started.add((job.job_id, self.token))
            claimed.append(run)
        if claimed:
            self.holders[self.token] = worker
            self.handed.append(
                [Place(j.job_id, j.priority, j.lane_id, j.pos or 0) for j in claimed]
            )
        return claimed

    def end(self, run: Event, kind: Kind) -> None:
        run = self.running.pop(run.job_id)
        pair = (run.job_id, run.token)
        job = self.note(replace(run, kind=kind))
        self.writes.append(Write(*(kind, *pair)))
        if kind is Kind.SUCCEEDED:
            self.effects.append(pair)
            self.external.append(pair)
        elif kind is Kind.RELEASED:
            back = replace(job, attempt=job.attempt - 1, token=0, pos=self.next_pos())
            self.ready[job.job_id] = back
            self.events[-1] = replace(back, token=run.token)
        elif kind is Kind.FAILED:
            self.failures.add(pair)
            self.scheduled[job.job_id] = replace(job, token=0, pos=None, run_at_s=self.now_s)
            self.events[-1] = replace(job, pos=None, run_at_s=self.now_s)
        elif kind is Kind.DEAD:
            self.failures.add(pair)
            self.dead[job.job_id] = replace(job, token=0, attempt=0, crash_count=0)

    def crash(self, worker: str) -> None:
        """Let the worker's lease run out; rescue what it held."""
        self.now_s = max(self.now_s, self.ends_s.get(worker, 0)) + 0.01
        for run in [r for r in self.running.values() if self.holders[r.token] == worker]:
            del self.running[run.job_id]
            self.failures.add((run.job_id, run.token))
            crashes = run.crash_count + 1
            if crashes >= 3:
                dead = self.note(replace(run, kind=Kind.DEAD))
                self.dead[run.job_id] = replace(dead, token=0, attempt=0, crash_count=0)
                continue
            lost = replace(run, kind=Kind.LOST, crash_count=crashes, pos=self.next_pos())
            self.ready[run.job_id] = replace(self.note(lost), token=0)
            # The dead worker comes back and is turned away.
            self.writes.append(Write(Kind.SUCCEEDED, run.job_id, run.token, is_accepted=False))

    def redrive(self) -> None:
        for job in self.dead.values():
            again = replace(job, kind=Kind.ENQUEUED, pos=self.next_pos())
            self.ready[job.job_id] = self.note(again)
        self.dead = {}

    def step(self) -> None:
        worker = self.rng.choice("abc")
        luck = self.rng.random()
        if luck < 0.3:
            self.enqueue()
        elif luck < 0.4:
            self.promote()
        elif luck < 0.6:
            self.claim(worker, self.rng.choice([1, 2, 5]))
        elif luck < 0.9 and self.running:
            kind = self.rng.choice([Kind.SUCCEEDED, Kind.FAILED, Kind.RELEASED, Kind.DEAD])
            self.end(self.rng.choice(list(self.running.values())), kind)
        elif luck < 0.95:
            self.crash(worker)
        elif self.rng.random() < 0.3:
            self.redrive()

    def history(self) -> History:
        ends = [event.kind for event in self.events]
        return History(
            events=self.events,
            leases=self.leases,
            holders=self.holders,
            ttl_s=dict.fromkeys("abc", TTL_S),
            committed={e.job_id for e in self.events},
            writes=self.writes,
            started=self.started,
            effects=self.effects,
            external=self.external,
            failures=self.failures,
            counts=Counts(
                succeeded=ends.count(Kind.SUCCEEDED),
                retried=ends.count(Kind.FAILED),
                given_back=ends.count(Kind.RELEASED) + ends.count(Kind.LOST),
            ),
            handed=self.handed,
            strict_queues={QUEUE},
            bound_s=LATE_S,
        )


def healthy(rng: random.Random, steps: int = 60) -> History:
    """Make a history that keeps the contract, with each kind of end at least once."""
    queue = Simulation(rng)
    for kind in (Kind.RELEASED, Kind.FAILED, Kind.DEAD, Kind.SUCCEEDED):
        queue.enqueue()
        queue.promote()
        queue.end(queue.claim("a", 1)[0], kind)
    queue.enqueue()
    queue.promote()
    for worker in "bca":
        queue.claim(worker, 9)
        queue.crash(worker)
    for _ in range(steps):
        queue.step()
    queue.promote()
    for worker in "abc":
        queue.crash(worker)
    while queue.claim("a", 9):
        for run in list(queue.running.values()):
            queue.end(run, Kind.SUCCEEDED)
    return queue.history()


seeds = st.integers(0, 2**32).map(random.Random)
Bug = Callable[[History], History]


def last(history: History, *kinds: Kind) -> int:
    return max(place for place, event in enumerate(history.events) if event.kind in kinds)


def without(history: History, place: int) -> History:
    return replace(history, events=[e for n, e in enumerate(history.events) if n != place])


def with_event(history: History, place: int, event: Event) -> History:
    return replace(history, events=[*history.events[:place], event, *history.events[place:]])


def changed(history: History, place: int, **columns: object) -> History:
    event = replace(history.events[place], **columns)  # type: ignore[arg-type]
    return with_event(without(history, place), place, event)


def of(history: History, *kinds: Kind) -> Event:
    return history.events[last(history, *kinds)]


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


BUGS: dict[Bug, str] = {
    lose_a_job: "I1",
    never_claim_a_job: "I1",
    run_what_was_never_enqueued: "I1",
    forget_a_committed_enqueue: "I1",
    keep_a_rolled_back_enqueue: "I1",
    let_a_row_vanish: "I1",
    give_a_key_to_two_jobs: "I1",
    forget_the_key_of_a_job: "I1",
    enqueue_again_after_success: "I1",
    succeed_twice: "I2",
    bury_after_success: "I2",
    acknowledge_by_id: "I3",
    succeed_without_a_client: "I3",
    reuse_a_token: "I3",
    accept_a_release_after_rescue: "I3",
    accept_a_write_twice: "I3",
    write_under_an_older_token: "I3",
    claim_what_is_running: "I4",
    rescue_a_live_lease: "I4",
    lease_by_the_clients_clock: "I4",
    lose_an_effect: "I5",
    double_an_effect: "I5",
    keep_the_effect_of_a_dead_job: "I5",
    lose_an_outside_effect: "I5",
    let_an_older_run_overwrite_outside: "I5",
    start_in_the_wrong_order: "I6",
    leave_the_head_of_the_lane: "I6",
    let_a_job_wait_beside_an_idle_slot: "I6",
    overtake_far: "I6",
    forget_the_end_of_a_start: "I7",
    charge_a_release: "I7",
    count_a_success_twice: "I7",
    lose_the_record_of_a_failure: "I7",
    let_a_crash_go_uncounted: "I8",
    let_a_crash_go_uncharged: "I8",
    survive_the_third_crash: "I8",
    bury_at_the_first_crash: "I8",
    charge_what_never_started: "I8",
    write_after_a_release: "I9",
}


@settings(max_examples=100, deadline=None)
@given(rng=seeds)
def test_a_healthy_history_has_no_violation(rng: random.Random) -> None:
    assert check(healthy(rng)) == []


def test_healthy_histories_show_each_kind_of_end() -> None:
    kinds = {event.kind for event in healthy(random.Random(1)).events}

    assert kinds >= ENDS - {Kind.CANCELLED}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
@settings(max_examples=10, deadline=None)
@given(rng=seeds)
def test_a_broken_history_is_caught_and_the_invariant_named(bug: Bug, rng: random.Random) -> None:
    assert BUGS[bug] in invariants(bug(healthy(rng)))


def test_each_invariant_has_a_broken_history() -> None:
    assert set(BUGS.values()) == {f"I{number}" for number in range(1, 10)}


def test_jobs_that_are_left_alone_are_not_lost() -> None:
    assert check(History(events=[Event(Kind.ENQUEUED, 1)], left_alone={1})) == []


def test_a_cancelled_job_has_ended_whether_it_ran_or_waited() -> None:
    waiting = [Event(Kind.ENQUEUED, 1), Event(Kind.CANCELLED, 1)]
    running = [Event(Kind.ENQUEUED, 2), Event(Kind.CLAIMED, 2, 7), Event(Kind.CANCELLED, 2, 7)]

    assert check(History(events=waiting + running)) == []
    assert Kind.CANCELLED in TERMINAL


def test_a_burial_is_one_event_of_two_rows_and_a_lonely_one_is_no_success() -> None:
    columns = (0.0, 1, 0, 1, 1, 0, None, 0.0, None)
    rows = [("succeeded", 1, 5, *columns, "xid 1"), ("buried", 1, 0, *columns, "xid 1")]
    lonely = [("buried", 2, 0, *columns, "xid 2")]

    assert [(e.kind, e.token) for e in fold(rows + lonely)] == [(Kind.DEAD, 5), (Kind.DEAD, 0)]
