"""What the store takes and gives: frozen values, no behaviour."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from queueworker.job import Transition, TransitionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker as it registers; `id` is new at each process start."""

    id: UUID
    pod: str
    namespace: str
    node: str
    version: str
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    slots: int
    ttl_s: float
    pod_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLoad:
    """What a worker reports at each renewal.

    `busy` handlers run, `held` jobs are claimed but not started. A worker of several queues
    also tells both per queue.
    """

    slots: int
    busy: int
    held: int
    draining: bool = False
    oldest_start_age_s: float | None = None
    busy_by_queue: Mapping[str, int] = field(default_factory=dict)
    held_by_queue: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The answer to a renewal; not `alive` means the lease is over and the jobs are lost."""

    alive: bool
    drain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """A queue as claims need it; `part` is the table that holds its jobs.

    `idle`: a worker looked for work and found none, and nobody has met a backlog since.
    `is_retained`: what has succeeded is kept for a while.
    `tail_id`, `tail_part`: while it is moved, its former id and table; jobs that run end there.
    """

    id: int
    name: str
    part: str
    paused: bool
    idle: bool = False
    is_retained: bool = False
    tail_id: int | None = None
    tail_part: str | None = None

    @property
    def tail(self) -> "QueueRow | None":
        """Give what is left of the queue under its former id."""
        if self.tail_id is None or self.tail_part is None:
            return None
        return replace(self, id=self.tail_id, part=self.tail_part, tail_id=None, tail_part=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """One (task, priority) of a queue; no ready job stands at or below `floor` (see hints)."""

    id: int
    task: str
    priority: int
    floor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """Which jobs to claim.

    `hints[i]` is the position after which lane `lanes[i]` is scanned (its floor, or where this
    worker's last claim ended). The first `started` jobs in claim order count as started from
    now on: a worker that starts all at once leaves it at None.
    """

    queue: QueueRow
    worker_id: UUID
    limit: int
    lanes: Sequence[LaneRow]
    hints: Sequence[int]
    started: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatDelta:
    """What happened since the last report, as only the worker knows it.

    `waits[i]` counts started jobs in wait bucket i (upper edge 0.01 s * sqrt(2)**i, the last
    one without an edge). The service moments count handlers that ended.
    """

    started: int = 0
    busy_s: float = 0.0
    service_count: int = 0
    service_sum_s: float = 0.0
    service_sq_sum_s2: float = 0.0
    waits: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptLane:
    """One lane after a sweep; `first_ready_pos` of None means that nothing was looked up."""

    lane: int
    floor: int
    first_ready_pos: int | None
    promoted: int


NO_DELTA = StatDelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What jobs of one queue came to, and the worker's own counts beside it.

    `ids[i]` succeeded under `tokens[i]`: parallel lists, as a value a job would cost as much as the
    job. `others` are all other transitions.
    """

    ids: Sequence[int] = ()
    tokens: Sequence[int] = ()
    others: Sequence[Transition] = ()
    delta: StatDelta = NO_DELTA

    @classmethod
    def of(cls, transitions: Sequence[Transition], delta: StatDelta = NO_DELTA) -> "Settlement":
        """Sort transitions by what they need."""
        done = [item for item in transitions if item.kind is TransitionKind.SUCCEED]
        return cls(
            ids=[item.job_id for item in done],
            tokens=[item.token for item in done],
            others=[item for item in transitions if item.kind is not TransitionKind.SUCCEED],
            delta=delta,
        )

    @property
    def results(self) -> int:
        """Give of how many jobs this tells."""
        return len(self.ids) + len(self.others)

    @property
    def single(self) -> Transition:
        """Give the only result."""
        if self.others:
            return self.others[0]
        return Transition(job_id=self.ids[0], token=self.tokens[0], kind=TransitionKind.SUCCEED)

    def halves(self) -> tuple["Settlement", ...]:
        """Part the counts from the results, and these in two; nothing where one thing is left."""
        if self.delta is not NO_DELTA and self.results:
            return replace(self, delta=NO_DELTA), Settlement(delta=self.delta)
        half = self.results // 2
        if not half:
            return ()
        pairs = [*zip(self.ids, self.tokens, strict=True)]
        pairs += [(item.job_id, item.token) for item in self.others]
        return self.split(set(pairs[:half]))

    def split(self, pairs: Collection[tuple[int, int]]) -> tuple["Settlement", "Settlement"]:
        """Part what concerns these (id, token) from the rest, which keeps the counts."""
        done = list(zip(self.ids, self.tokens, strict=True))
        mine, rest = (
            Settlement(
                ids=[job_id for job_id, token in done if ((job_id, token) in pairs) is is_mine],
                tokens=[token for job_id, token in done if ((job_id, token) in pairs) is is_mine],
                others=[
                    item for item in self.others if ((item.job_id, item.token) in pairs) is is_mine
                ],
            )
            for is_mine in (True, False)
        )
        return mine, replace(rest, delta=self.delta)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSummary:
    """One line of `queue list`; retentions of None are the defaults: not kept, kept for ever."""

    name: str
    part: str
    paused: bool
    ready: int
    running: int
    scheduled: int
    dead: int
    finished_s: float | None
    dead_s: float | None
    moving: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long a queue keeps what; None leaves a setting as it is.

    0 keeps no finished jobs, and dead letters for ever. `failures_s` is for the errors of jobs
    that are neither dead letters nor in the queue any more.
    """

    finished_s: float | None = None
    dead_s: float | None = None
    failures_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """What one round of maintenance did; `has_more`: call again soon."""

    days_made: int
    days_dropped: int
    finished_deleted: int
    dead_deleted: int
    failures_deleted: int
    workers_forgotten: int
    has_more: bool
