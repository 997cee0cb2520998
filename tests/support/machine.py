"""A state machine over the queue's SQL: interleaved connections against a model of what must be true."""

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.engine import AGE_SWEEPS, Engine, bury, load, release, retry, succeed

from queueworker.compat import override
from queueworker.dsn import Dsn
from queueworker.job import ClaimedJob, Transition
from queueworker.store import ClaimRequest, OpenClaims, Store, connect

Answer = TypeVar("Answer")
LANES = (("a", 0), ("a", 5), ("b", 5))
TASKS, KEYS = ("a", "b"), ("one", "two")
FAR_S, LEASE_S = 10_000.0, 600.0
picks = st.integers(0, 30)


@dataclass
class Job:
    """What must be true of a job."""

    job_id: int
    priority: int
    state: str
    key: str | None = None
    is_due: bool = False
    attempt: int = 0
    crashes: int = 0
    claimed: ClaimedJob | None = None
    worker: uuid.UUID | None = None
    is_started: bool = False

    @property
    def row(self) -> tuple[str, int, int, int]:
        token = self.claimed.token if self.claimed is not None else 0
        return self.state, token, self.attempt, self.crashes

    def back(self, state: str) -> None:
        self.state, self.claimed, self.worker, self.is_started = state, None, None, False


@dataclass
class Producer:
    """A connection with a transaction of its own."""

    conn: psycopg.AsyncConnection[Any]
    pending: list[Job] = field(default_factory=list)


class World:
    """The database and the connections, kept over all runs of the machine; each has its own queue."""

    def __init__(self, dsn: str) -> None:
        self.runner = asyncio.Runner()
        self.numbers = itertools.count(1)
        self.admin = psycopg.connect(dsn, autocommit=True)
        # One worker process has one account of its claims; its past has another.
        ours = OpenClaims()
        self.stores = [Store(self.do(self._open(dsn)), ours) for _ in range(3)]
        self.past = Store(self.do(self._open(dsn)))
        self.producers = [self.do(psycopg.AsyncConnection.connect(dsn)) for _ in range(2)]
        self.steps = 0

    def do(self, work: Awaitable[Answer]) -> Answer:
        async def wait() -> Answer:
            return await work

        return self.runner.run(wait())

    async def _open(self, dsn: str) -> psycopg.AsyncConnection[Any]:
        return await connect(Dsn.parse(dsn), application_name="machine")

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self.admin.execute(query, parameters).fetchall()

    def close(self) -> None:
        for conn in [*self.producers, *(store._conn for store in [*self.stores, self.past])]:
            self.do(conn.close())
        self.admin.close()
        self.runner.close()


class QueueMachine(RuleBasedStateMachine):
    """Two producers with open transactions, two workers, and a third that claims in a transaction."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.name = f"machine{next(world.numbers)}"
        self.queue = world.do(world.stores[0].queue(self.name))
        for task, priority in LANES:
            world.admin.execute(
                "SELECT queueworker.ensure_lane(q, %s, %s) FROM queueworker.queue AS q WHERE name = %s",
                (task, priority, self.name),
            )
        self.producers = [Producer(conn) for conn in world.producers]
        self.jobs: dict[int, Job] = {}
        self.workers: list[uuid.UUID | None] = [None, None]
        self.alive: set[uuid.UUID] = set()
        self.expired: set[uuid.UUID] = set()
        self.stale: list[ClaimedJob] = []
        self.open: list[ClaimedJob] = []
        self.is_open = False
        self.is_paused = False
        self.last_token = 0

    @initialize()
    def begin(self) -> None:
        """Two workers and a few jobs, so that few steps are wasted."""
        for slot in range(2):
            self.register(slot)
        for lane in LANES:
            self.enqueue(0, lane, None, "now", is_committed=True)

    # What must be true after every step, as any other session sees it.

    @invariant()
    def the_database_is_what_the_model_says(self) -> None:
        self.world.steps += 1
        rows = self.world.rows(
            "SELECT id, CASE WHEN token > 0 THEN 'running' WHEN pos IS NULL THEN 'scheduled'"
            " ELSE 'ready' END, token, attempt, crash_count FROM queueworker.job WHERE queue_id = %s"
            " UNION ALL SELECT id, 'dead', 0, attempt, crash_count FROM queueworker.dead_job"
            " WHERE queue_id = %s",
            self.queue.id,
            self.queue.id,
        )
        assert {job_id: row for job_id, *row in rows} == {
            job.job_id: list(job.row) for job in self.jobs.values()
        }

    @invariant()
    def no_ready_job_stands_below_its_floor(self) -> None:
        below = self.world.rows(
            "SELECT j.id FROM queueworker.job AS j JOIN queueworker.lane AS l ON l.id = j.lane_id"
            " WHERE j.queue_id = %s AND j.token = 0 AND j.pos <= l.floor",
            self.queue.id,
        )
        assert below == []

    # Producers

    @rule(
        who=st.integers(0, 1),
        lane=st.sampled_from(LANES),
        key=st.sampled_from([None, None, *KEYS]),
        when=st.sampled_from(["now", "now", "now", "soon", "far"]),
        is_committed=st.sampled_from([True, True, False]),
    )
    def enqueue(
        self, who: int, lane: tuple[str, int], key: str | None, when: str, *, is_committed: bool
    ) -> None:
        key = None if key in self._keys_in_doubt(who) else key
        producer, (task, priority) = self.producers[who], lane
        delay_s = {"now": None, "soon": 0.001, "far": FAR_S}[when]
        cursor = self.world.do(
            producer.conn.execute(
                "SELECT queueworker.enqueue(%s, %s, priority => %s, unique_key => %s,"
                " run_at => clock_timestamp() + make_interval(secs => %s::float8))",
                (self.name, task, priority, key, delay_s),
            )
        )
        ((job_id,),) = self.world.do(cursor.fetchall())
        held = {job.key for job in [*self._queued(), *producer.pending]}
        assert (job_id is None) == (key is not None and key in held)
        if job_id is not None:
            state = self._entered_as(producer, job_id) if when == "soon" else when
            is_scheduled = state in {"far", "scheduled"}
            state = "scheduled" if is_scheduled else "ready"
            is_due = is_scheduled and when == "soon"
            producer.pending.append(Job(job_id, priority, state, key, is_due=is_due))
        if is_committed:
            self.commit(who)

    def _entered_as(self, producer: Any, job_id: int) -> str:
        """Tell how a job entered that is due in a moment: on a busy machine the moment may be over."""
        query = "SELECT pos IS NULL FROM queueworker.job WHERE id = %s"
        cursor = self.world.do(producer.conn.execute(query, (job_id,)))
        ((is_scheduled,),) = self.world.do(cursor.fetchall())
        return "scheduled" if is_scheduled else "ready"

    @rule(lane=st.sampled_from(LANES))
    def enqueue_some(self, lane: tuple[str, int]) -> None:
        for _ in range(3):
            self.enqueue(0, lane, None, "now", is_committed=True)

    @rule(who=st.integers(0, 1))
    def commit(self, who: int) -> None:
        producer = self.producers[who]
        self.world.do(producer.conn.commit())
        self.jobs.update((job.job_id, job) for job in producer.pending)
        producer.pending = []

    @rule(who=st.integers(0, 1))
    def roll_back(self, who: int) -> None:
        self.world.do(self.producers[who].conn.rollback())
        self.producers[who].pending = []

    # Workers

    @rule(slot=st.integers(0, 1))
    def register(self, slot: int) -> None:
        engine = Engine(conn=self._conn(slot), store=self.world.stores[slot], queue=self.queue)
        worker = self.world.do(engine.worker(ttl_s=LEASE_S, tasks=TASKS))
        self.workers[slot] = worker
        self.alive.add(worker)

    @rule(slot=st.integers(0, 1), limit=st.integers(1, 4), started=st.integers(0, 4))
    def claim(self, slot: int, limit: int, started: int) -> None:
        worker = self.workers[slot]
        if worker is None:
            return
        expected = self._expected()
        jobs = self._claim(slot, worker, limit, started)
        self._check_claim(jobs, expected, limit)
        self._running(jobs, worker, started)

    @precondition(lambda self: not self.is_open and self.workers[0] is not None)
    @rule(limit=st.integers(1, 3))
    def claim_in_a_transaction(self, limit: int) -> None:
        worker = self.workers[0]
        assert worker is not None
        expected = self._expected()
        self.world.do(self._conn(2).execute("BEGIN"))
        self.open, self.is_open = self._claim(2, worker, limit, limit), True
        self.open_worker = worker
        self._check_claim(self.open, expected, limit)

    @precondition(lambda self: self.is_open)
    @rule(is_committed=st.booleans())
    def end_the_claims_transaction(self, is_committed: bool) -> None:
        self.world.do(self._conn(2).execute("COMMIT" if is_committed else "ROLLBACK"))
        jobs, self.open, self.is_open = self.open, [], False
        if is_committed:
            self._running(jobs, self.open_worker, len(jobs))

    @rule(pick=picks, change=st.sampled_from(["succeed", "retry", "far", "release", "bury"]))
    def settle(self, pick: int, change: str) -> None:
        running = self._of("running")
        if not running:
            return
        job = running[pick % len(running)]
        claimed = job.claimed
        assert claimed is not None
        assert self._complete(pick % 2, [_transition(claimed, change)]) == set()
        self.stale.append(claimed)
        match change:
            case "succeed":
                del self.jobs[job.job_id]
            case "release":
                job.attempt -= 1
                job.back("ready")
            case "bury":
                job.back("dead")
            case _:
                job.is_due = change == "retry"
                job.back("scheduled")

    @rule(pick=picks, change=st.sampled_from(["succeed", "retry", "release", "bury"]))
    def settle_what_is_no_longer_ours(self, pick: int, change: str) -> None:
        old_ones = [old for old in self.stale if old.id in self.jobs] or self.stale
        if old_ones:
            old = old_ones[pick % len(old_ones)]
            refused = self.world.do(
                self.world.past.complete(self.queue, [_transition(old, change)])
            )
            assert refused == {(old.id, old.token)}

    @rule(pick=picks)
    def acknowledge_late(self, pick: int) -> None:
        self.settle_what_is_no_longer_ours(pick, "succeed")

    @rule(pick=picks)
    def give_back_and_acknowledge(self, pick: int) -> None:
        """What a drain and a slow handler's end do together."""
        self.settle(pick, "release")
        self.settle_what_is_no_longer_ours(len(self.stale) - 1, "succeed")

    @rule(pick=picks)
    def start_one_more(self, pick: int) -> None:
        tokens = sorted({job.claimed.token for job in self._of("running") if job.claimed})
        if not tokens:
            return
        token = tokens[pick % len(tokens)]
        ((ids,),) = self.world.rows("SELECT ids FROM queueworker.claim WHERE token = %s", token)
        started = pick % (len(ids) + 1)
        self.world.do(self.world.stores[0].mark_started(token, started))
        for place, job_id in enumerate(ids):
            job = self.jobs.get(job_id)
            if job is not None and job.claimed is not None and job.claimed.token == token:
                job.is_started = place < started

    @rule(slot=st.integers(0, 1))
    def renew(self, slot: int) -> None:
        worker = self.workers[slot]
        if worker is not None:
            renewal = self.world.do(self.world.stores[slot].renew(worker, LEASE_S, load()))
            # A lease that is over may be renewed as long as nobody has ended it.
            assert renewal.alive == (worker in self.alive | self.expired)
            self.alive |= {worker} & self.expired
            self.expired.discard(worker)

    @rule(slot=st.integers(0, 1))
    def let_the_lease_end(self, slot: int) -> None:
        worker = self.workers[slot]
        if worker is not None:
            self.world.admin.execute(
                "UPDATE queueworker.worker SET expires_at = clock_timestamp() - interval '1 ms'"
                " WHERE id = %s",
                (worker,),
            )
            self.expired |= {worker} & self.alive
            self.alive.discard(worker)

    @rule(slot=st.integers(0, 1))
    def deregister(self, slot: int) -> None:
        worker = self.workers[slot]
        if worker is not None:
            self.world.do(self.world.stores[slot].deregister(worker))
            self.alive.discard(worker)
            self.expired.discard(worker)
            self.workers[slot] = None

    # Upkeep and administration

    @rule()
    def rescue(self) -> None:
        self._trust_the_clock()
        self.world.do(self.world.stores[1].rescue())
        self._rescued()

    @rule()
    def sweep(self) -> None:
        self._trust_the_clock()
        self.world.admin.execute(
            f"{AGE_SWEEPS}, due_full_at = '-infinity' WHERE id = %s",
            (self.queue.id,),
        )
        lanes = self.world.do(self.world.stores[1].lanes(self.queue.id, TASKS))
        # What became due in this millisecond is awaited.
        self.world.admin.execute("SELECT pg_sleep(0.002)")
        self.world.do(self.world.stores[1].sweep(self.queue.id, [lane.id for lane in lanes]))
        # Of the sweeps of a second, one rescues.
        self.rescue()
        for job in self._of("scheduled"):
            job.state = "ready" if job.is_due else job.state

    @rule(pause=st.booleans())
    def pause_or_resume(self, pause: bool) -> None:
        store = self.world.stores[0]
        self.world.do(store.queue_pause(self.name) if pause else store.queue_resume(self.name))
        self.is_paused = pause

    @rule(pick=picks)
    def retry_a_dead_letter(self, pick: int) -> None:
        dead = self._of("dead")
        if not dead:
            return
        job = dead[pick % len(dead)]
        if job.key is not None and job.key in self._keys_in_doubt(-1):
            return
        is_taken = job.key is not None and job.key in {other.key for other in self._queued()}
        count = self.world.do(self.world.stores[0].dead_retry(self.name, [job.job_id]))
        assert count == (not is_taken)
        if not is_taken:
            job.attempt = job.crashes = 0
            job.back("ready")

    @rule(pick=picks)
    def purge_a_dead_letter(self, pick: int) -> None:
        dead = self._of("dead")
        if dead:
            job = dead[pick % len(dead)]
            assert self.world.do(self.world.stores[0].dead_purge(self.name, [job.job_id])) == 1
            del self.jobs[job.job_id]

    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        ((exists,),) = self.world.rows("SELECT to_regproc('queueworker.cancel') IS NOT NULL")
        locked = {claimed.id for claimed in self.open}
        queued = [job for job in self._queued() if job.job_id not in locked]
        if not exists or not queued:
            return
        job = queued[pick % len(queued)]
        ((was,),) = self.world.rows("SELECT queueworker.cancel(%s)", job.job_id)
        assert was == job.state
        if job.claimed is not None:
            self.stale.append(job.claimed)
        del self.jobs[job.job_id]

    @override
    def teardown(self) -> None:
        """Drain: what was committed and has not ended runs now, every bit of it."""
        for who in range(2):
            self.roll_back(who)
        if self.is_open:
            self.end_the_claims_transaction(is_committed=False)
        self.pause_or_resume(pause=False)
        for slot in range(2):
            self.deregister(slot)
        self.alive.clear()
        self.world.admin.execute("DELETE FROM queueworker.worker")
        self.world.admin.execute(
            "UPDATE queueworker.job SET run_at = clock_timestamp() WHERE pos IS NULL AND queue_id = %s",
            (self.queue.id,),
        )
        for job in self._of("scheduled"):
            job.is_due = True
        for _ in range(3):
            self.sweep()
        self.register(0)
        self.claim(0, len(self.jobs) + 1, 0)
        self.the_database_is_what_the_model_says()
        for job in self._of("running"):
            assert job.claimed is not None
            assert self._complete(0, [succeed(job.claimed)]) == set()
            del self.jobs[job.job_id]
        self.deregister(0)
        assert {job.state for job in self.jobs.values()} <= {"dead"}

    # The model

    def _conn(self, slot: int) -> psycopg.AsyncConnection[Any]:
        return self.world.stores[slot]._conn

    def _of(self, state: str) -> list[Job]:
        return [job for _, job in sorted(self.jobs.items()) if job.state == state]

    def _queued(self) -> list[Job]:
        return [job for _, job in sorted(self.jobs.items()) if job.state != "dead"]

    def _keys_in_doubt(self, who: int) -> set[str | None]:
        """Give the keys that another open transaction holds: an insert would wait for it."""
        others = [p for number, p in enumerate(self.producers) if number != who]
        held = {job.key for producer in others for job in producer.pending}
        return held | {self.jobs[claimed.id].key for claimed in self.open}

    def _expected(self) -> list[tuple[int, int, int, int]]:
        """Give (priority, lane, pos, id) of all jobs that a claim may take."""
        if self.is_paused:
            return []
        rows = self.world.rows(
            "SELECT l.priority, l.id, j.pos, j.id FROM queueworker.job AS j"
            " JOIN queueworker.lane AS l ON l.id = j.lane_id"
            " WHERE j.queue_id = %s AND j.token = 0 AND j.pos IS NOT NULL ORDER BY j.pos",
            self.queue.id,
        )
        locked = {claimed.id for claimed in self.open}
        return [(p, lane, pos, job_id) for p, lane, pos, job_id in rows if job_id not in locked]

    def _claim(self, slot: int, worker: uuid.UUID, limit: int, started: int) -> list[ClaimedJob]:
        store = self.world.stores[slot]
        lanes = self.world.do(store.lanes(self.queue.id, TASKS))
        return self.world.do(
            store.claim(
                ClaimRequest(
                    queue=self.queue,
                    worker_id=worker,
                    limit=limit,
                    lanes=lanes,
                    hints=[lane.floor for lane in lanes],
                    started=started,
                )
            )
        )

    def _check_claim(
        self, jobs: Sequence[ClaimedJob], expected: list[tuple[int, int, int, int]], limit: int
    ) -> None:
        """All there is, up to the limit: the best of each lane, and no lower priority before a higher."""
        assert len(jobs) == min(limit, len(expected))
        assert len({job.token for job in jobs}) <= 1
        assert all(job.token > self.last_token for job in jobs)
        self.last_token = max([self.last_token, *(job.token for job in jobs)])
        taken = {job.id for job in jobs}
        chosen = [place for place in expected if place[3] in taken]
        left = [place for place in expected if place[3] not in taken]
        assert len(chosen) == len(jobs)
        for priority, lane, pos, _ in left:
            assert all(priority <= other for other, *_ in chosen)
            assert all(pos > other for _, its, other, _ in chosen if its == lane)
        priorities = [self.jobs[job.id].priority for job in jobs]
        assert priorities == sorted(priorities, reverse=True)

    def _running(self, jobs: Sequence[ClaimedJob], worker: uuid.UUID, started: int) -> None:
        for number, claimed in enumerate(jobs):
            job = self.jobs[claimed.id]
            job.attempt += 1
            assert (claimed.attempt, claimed.crash_count) == (job.attempt, job.crashes)
            job.state, job.claimed, job.worker = "running", claimed, worker
            job.is_started = number < started

    def _complete(self, slot: int, changes: Sequence[Transition]) -> set[tuple[int, int]]:
        return self.world.do(self.world.stores[slot].complete(self.queue, changes))

    def _rescued(self) -> None:
        """Give back what the dead held: a third crash is the end, what never started is not charged."""
        self.expired.clear()
        for job in self._of("running"):
            if job.worker in self.alive:
                continue
            assert job.claimed is not None
            self.stale.append(job.claimed)
            job.crashes += job.is_started
            job.attempt -= not job.is_started
            job.back("dead" if job.crashes >= 3 else "ready")

    def _trust_the_clock(self) -> None:
        # A rescuer holds back when nobody has looked for long: here that is the test's own slowness.
        with suppress(psycopg.errors.UndefinedTable):
            self.world.admin.execute(
                "UPDATE queueworker.rescue_state SET looked_at = clock_timestamp(), held_until = NULL"
            )


def _transition(job: ClaimedJob, change: str) -> Transition:
    match change:
        case "succeed":
            return succeed(job)
        case "release":
            return release(job)
        case "bury":
            return bury(job)
        case "far":
            return retry(job, FAR_S)
        case _:
            return retry(job, 0.0)
