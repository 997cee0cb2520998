"""A queue that is simulated without a fault: histories that keep the contract."""

import random
from dataclasses import replace

from tests.support.history import (
    Counts,
    Event,
    History,
    Kind,
    LeaseChange,
    LeaseKind,
    Place,
    Write,
)

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
