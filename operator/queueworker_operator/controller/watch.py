"""What the loop is asked to keep at its size, and what it remembers about it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from queueworker_operator.controller.advice import ForecastScore
from queueworker_operator.controller.scale_in import ScaleIn
from queueworker_operator.decision.codec import decode, encode
from queueworker_operator.decision.minutes import Following
from queueworker_operator.decision.model import Floor, PodId, Policy, Reason, Replicas
from queueworker_operator.decision.state import State, from_record, to_record
from queueworker_operator.lag.late import NONE_LATE, LateStarts
from queueworker_operator.lag.pauses import NO_PAUSES, Counted, Pauses
from queueworker_operator.lag.sample import NONE_UNKNOWN, Unknown
from queueworker_operator.report import Fact
from queueworker_operator.target import Target

FORMAT = 1
# The caches show a write of ours after milliseconds; after this long they are believed again.
WRITE_SEEN_WITHIN_S = 3.0
MOST_GONE = 1000
# A reason that changes back and forth is recorded so often on average, so many times in a row.
REASON_EVERY_S, REASONS_AT_ONCE = 5.0, 5
# The database spares workers younger than 5 s (a new pod may have a dead one's name): ask again.
ASK_AGAIN_AFTER_S = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One QueueWorker: its key ("namespace/name"), what it promises, and what it may scale."""

    key: str
    queues: tuple[str, ...]
    policy: Policy
    target: Target
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a step looked at that left nothing to do: while it stays, the next one waits longer."""

    at_s: float = field(compare=False)
    is_asleep: bool = field(default=False, compare=False)
    assignment: Assignment
    may_write: bool
    floor: Floor | None
    stamp: object
    revisions: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A write of one size over another that was recorded; `is_blind`: decided without data."""

    current: int
    desired: int
    is_blind: bool
    recorded_at_s: float = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """When a target's pods were looked at afresh, and why they could not be."""

    at_s: float = float("-inf")
    trouble: str = ""


@dataclass(slots=True)
class Watch:
    """The loop's memory of one assignment; the only mutable thing here, written by its step.

    `shared`: QueueWorkers of other namespaces, too, have their workers in this database.
    `row_due_at_s`: from when on queues without a row are a trouble; None: no replica waits for one.
    `failed`: what the last step tried to write and could not.
    """

    assignment: Assignment
    state: State = field(default_factory=State)
    shared: bool = False
    restored: bool = False
    observed_at_s: float | None = None
    forecasts: ForecastScore = field(default_factory=ForecastScore)
    unknown: Unknown = NONE_UNKNOWN
    pauses: Pauses = NO_PAUSES
    late: LateStarts = NONE_LATE
    sampled_at_s: float | None = None
    unread_since_s: float | None = None
    row_due_at_s: float | None = None
    saved_at_s: float | None = None
    saved_asleep: bool = False
    scale_in: ScaleIn = field(default_factory=ScaleIn)
    adopted: bool = False
    drains_asked_at_s: float = float("-inf")
    looked: Looked = Looked()
    asked: int | None = None
    asked_at_s: float = 0.0
    failed: Attempt | None = None
    recorded: tuple[int, Reason] | None = None
    reason_due_s: float = 0.0
    reported: tuple[int | None, Reason | None, frozenset[Fact]] | None = None
    gone: tuple[tuple[PodId, float], ...] = ()
    seen: Seen | None = None
    dry_run: Following | None = None

    @property
    def is_asleep(self) -> bool:
        """Tell whether neither job nor pod was there at the last step, and nothing happened since."""
        return self.seen is not None and self.seen.is_asleep

    @property
    def has_learned(self) -> bool:
        """Tell whether there is something to store: nothing is, before the old was read."""
        return self.restored and self.observed_at_s is not None

    def take(self, assignment: Assignment) -> None:
        """Take over a new spec; with other queues the counters begin anew.

        An added queue's history would else count as arrivals of this moment.
        """
        if assignment.queues != self.assignment.queues:
            self.state = replace(self.state, last=None)
            self.forecasts = replace(self.forecasts, pending=None)
            self.row_due_at_s = None
        self.assignment = assignment

    def replicas(self, now_s: float) -> Replicas | None:
        """Read the target; a write that its caches do not show yet counts as done."""
        seen = self.assignment.target.read()
        if seen is None or self.asked is None:
            return seen
        if seen.current == self.asked or now_s - self.asked_at_s > WRITE_SEEN_WITHIN_S:
            self.asked = None
            return seen
        return replace(seen, current=self.asked)

    def has_asked(self, desired: int, now_s: float) -> None:
        """Note a write to the target."""
        self.asked = desired
        self.asked_at_s = now_s

    def takes_reason(self, now_s: float) -> bool:
        """Tell whether one more change of the reason alone is recorded now, and count it."""
        if self.reason_due_s > now_s:
            return False
        earliest_s = now_s - (REASONS_AT_ONCE - 1) * REASON_EVERY_S
        self.reason_due_s = max(self.reason_due_s, earliest_s) + REASON_EVERY_S
        return True

    def note_gone(self, pods: Collection[PodId], now_s: float) -> None:
        """Add pods whose leases are to be ended: now, and once more later."""
        due = [(pod, at_s) for pod in pods for at_s in (now_s, now_s + ASK_AGAIN_AFTER_S)]
        self.gone = (*self.gone, *due)[-MOST_GONE:]

    def gone_by(self, now_s: float) -> tuple[PodId, ...]:
        """Name the pods whose leases are to be ended now."""
        return tuple(pod for pod, at_s in self.gone if at_s <= now_s)

    def spare(self, living: Collection[str], now_s: float) -> None:
        """Forget of `gone_by` the pods that live: when they end one day, that is noted anew."""
        self.gone = tuple(
            (pod, at_s) for pod, at_s in self.gone if at_s > now_s or pod.name not in living
        )

    def forget_gone(self, now_s: float) -> None:
        """Note that the leases of the pods of `gone_by` were ended."""
        self.gone = tuple((pod, at_s) for pod, at_s in self.gone if at_s > now_s)

    def stand_by(self) -> None:
        """Forget what only a leader does; the next leader takes it over from the database."""
        self.scale_in = ScaleIn()
        self.adopted = False
        self.drains_asked_at_s = float("-inf")
        self.gone = ()
        self.reported = None
        self.recorded = None
        self.failed = None
        self.dry_run = None

    def to_record(self) -> dict[str, Any]:
        """Give what is stored for the next controller."""
        return {
            "format": FORMAT,
            "queues": list(self.assignment.queues),
            "state": to_record(self.state),
            "observed_at_s": self.observed_at_s,
            "unknown": [[queue, task, at] for (queue, task), at in self.unknown.tasks.items()],
            "pauses": {queue: encode(counted) for queue, counted in self.pauses.queues.items()},
        }

    def restore(self, record: Mapping[str, Any]) -> None:
        """Take over what an earlier controller stored; the counters of other queues begin anew.

        An older operator's record does not say of which queues it is: it may be of others.

        Raises:
            ValueError: it has another format, or is damaged.
        """
        if record.get("format") != FORMAT:
            raise ValueError(f"format {record.get('format')}, not {FORMAT}")
        try:
            state = from_record(record["state"])
            same_queues = set(record.get("queues", ())) == set(self.assignment.queues)
            observed_at_s = record["observed_at_s"]
            tasks = {(str(q), str(t)): float(at) for q, t, at in record["unknown"]}
            pauses = {str(q): decode(Counted, c) for q, c in record.get("pauses", {}).items()}
        except (KeyError, TypeError, AttributeError) as exc:
            raise ValueError(f"damaged: {exc!r}") from exc
        self.state = state if same_queues else replace(state, last=None)
        self.observed_at_s = None if observed_at_s is None else float(observed_at_s)
        self.unknown = Unknown(tasks=tasks)
        self.pauses = Pauses(queues=pauses)
