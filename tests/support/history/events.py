"""What a history is made of: frozen values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

Pair = tuple[int, int]
"""(job id, token)."""


class Kind(Enum):
    """What happened to a job, as the database saw it.

    ISOLATED: its owner has put it into a claim of its own, under a new token.
    """

    ENQUEUED = "enqueued"
    PROMOTED = "promoted"
    CLAIMED = "claimed"
    ISOLATED = "isolated"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"
    FAILED = "failed"
    RELEASED = "released"
    LOST = "lost"
    VANISHED = "vanished"


TERMINAL = {Kind.SUCCEEDED, Kind.DEAD, Kind.CANCELLED}
ENDS = TERMINAL | {Kind.FAILED, Kind.RELEASED, Kind.LOST}


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a job; the columns are those after it. `pos` of None: scheduled for `run_at_s`."""

    kind: Kind
    job_id: int
    token: int = 0
    at_s: float = 0.0
    attempt: int = 0
    crash_count: int = 0
    queue_id: int = 0
    lane_id: int = 0
    priority: int = 0
    pos: int | None = None
    run_at_s: float = 0.0
    unique_key: str | None = None


class LeaseKind(Enum):
    """GAINED and RENEWED hold until the lease's length later; ENDED was by its own or a person's
    hand, REMOVED by a rescuer."""

    GAINED = "gained"
    RENEWED = "renewed"
    ENDED = "ended"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class LeaseChange:
    """A worker's lease at a moment; `place` is where it stands among the events."""

    kind: LeaseKind
    worker: str
    at_s: float
    expires_at_s: float
    place: int


@dataclass(frozen=True, slots=True)
class Write:
    """A client's wish, and the database's answer."""

    kind: Kind
    job_id: int
    token: int
    is_accepted: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a claimed job stood in the queue."""

    job_id: int
    priority: int
    lane_id: int
    pos: int


@dataclass(frozen=True, slots=True)
class Idle:
    """A slot of a client that serves these lanes found nothing to do."""

    at_s: float
    lanes: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the product itself has counted."""

    succeeded: int
    retried: int
    given_back: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The database's log, and beside it what clients and final tables know (None: not asked).

    `bound_s` is the longest that a ready job may wait while a slot idles, or be overtaken.
    """

    events: Sequence[Event]
    leases: Sequence[LeaseChange] = ()
    holders: Mapping[int, str] = field(default_factory=dict)
    ttl_s: Mapping[str, float] = field(default_factory=dict)
    committed: Collection[int] = ()
    rolled_back: Collection[int] = ()
    keys: Mapping[int, str] = field(default_factory=dict)
    left_alone: Collection[int] = ()
    writes: Sequence[Write] = ()
    started: Collection[Pair] = ()
    effects: Sequence[Pair] | None = None
    external: Sequence[Pair] | None = None
    failures: Collection[Pair] | None = None
    counts: Counts | None = None
    idles: Sequence[Idle] = ()
    handed: Sequence[Sequence[Place]] = ()
    strict_queues: Collection[int] = ()
    bound_s: float = 3.0

    def accepted(self) -> set[tuple[Kind, int, int]]:
        """Give the writes that the database took."""
        return {(w.kind, w.job_id, w.token) for w in self.writes if w.is_accepted}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise."""

    invariant: str
    job_id: int
    text: str
