"""What one queue's jobs came to, until it is written."""

from collections.abc import Callable
from typing import Protocol

from queueworker.job import ClaimedJob, Transition
from queueworker.metrics import JOBS
from queueworker.store import NO_DELTA, QueueRow, Settlement
from queueworker.tally import Tally

MOST_A_BATCH = 1000
COUNT_EVERY_S = 1.0


class Queued(Protocol):
    """Where the jobs are; `queue create` may move them, so the row is read at each write."""

    @property
    def queue(self) -> QueueRow:
        """The row as it is now."""


class Outbox:
    """One queue's unwritten results and counts; `added` is called when a write is due."""

    def __init__(self, source: Queued, added: Callable[[], None]) -> None:
        self.source = source
        self.tally = Tally(source.queue.name)
        self._metric = JOBS.labels(source.queue.name, "succeeded")
        self._ids: list[int] = []
        self._tokens: list[int] = []
        self._others: list[Transition] = []
        self._added = added
        self._count_at_s = 0.0

    def __len__(self) -> int:
        return len(self._ids) + len(self._others)

    def succeeded(self, job: ClaimedJob) -> None:
        """Write soon that a job succeeded."""
        ids = self._ids
        ids.append(job.id)
        self._tokens.append(job.token)
        if len(ids) == 1 or len(ids) == MOST_A_BATCH:
            self._added()

    def add(self, transition: Transition) -> None:
        """Write a transition soon."""
        self._others.append(transition)
        self._added()

    def put_back(self, settlement: Settlement) -> None:
        """Write what was taken with a later batch."""
        self._ids.extend(settlement.ids)
        self._tokens.extend(settlement.tokens)
        self._others.extend(settlement.others)
        self._added()

    def accepted(self, count: int) -> None:
        """Count what the database has accepted as succeeded."""
        self._metric.inc(count)

    def take(self, now_s: float, *, with_counts: bool = False) -> Settlement | None:
        """Give the next batch to write; counts go with what succeeded, or once a second."""
        most = MOST_A_BATCH
        ids, self._ids = self._ids[:most], self._ids[most:]
        tokens, self._tokens = self._tokens[:most], self._tokens[most:]
        others, self._others = self._others[:most], self._others[most:]
        delta = None
        if ids or with_counts or now_s >= self._count_at_s:
            delta, self._count_at_s = self.tally.take(now_s), now_s + COUNT_EVERY_S
        if not (ids or others or delta):
            return None
        return Settlement(ids=ids, tokens=tokens, others=others, delta=delta or NO_DELTA)
