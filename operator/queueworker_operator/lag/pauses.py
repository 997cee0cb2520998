"""PURE: jobs that come into a paused queue arrive when it is resumed, and are no stream then."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from queueworker_operator.lag import QueueLag


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The counters of a queue as last read, and what came while it was paused.

    `held_*` came in the pause of now; `resumed` were enqueued in those that are over.
    """

    enqueued: int
    promoted: int
    held_enqueued: int = 0
    held_promoted: int = 0
    resumed: int = 0

    @property
    def arrived(self) -> int:
        """Count what became ready for workers, announced or not."""
        return self.enqueued - self.held_enqueued + self.announced_by_time

    @property
    def announced(self) -> int:
        """Count those of them that no forecast needs: due ones, and those that a resume let go."""
        return self.announced_by_time + self.resumed

    @property
    def announced_by_time(self) -> int:
        """Count the jobs that fell due."""
        return self.promoted - self.held_promoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """What came into queues in their pauses; queues that were never seen paused are not in it."""

    queues: Mapping[str, Counted]

    def refresh(self, lags: Iterable[QueueLag]) -> "Pauses":
        """Set aside what came into paused queues since the last reading; let go what was resumed."""
        return Pauses(
            queues={
                lag.queue: _next(self.queues.get(lag.queue), lag)
                for lag in lags
                if lag.paused or lag.queue in self.queues
            }
        )

    def counted(self, lag: QueueLag) -> Counted:
        """Give what counts of a queue that was just read."""
        return self.queues.get(lag.queue) or _read(lag)


NO_PAUSES = Pauses(queues={})


def _read(lag: QueueLag) -> Counted:
    return Counted(enqueued=lag.enqueued_total, promoted=lag.promoted_total)


def _next(before: Counted | None, lag: QueueLag) -> Counted:
    """Take the growth of the counters as held in a pause; a new or restored database begins anew."""
    now = _read(lag)
    if before is None:
        return now
    resumed = before.resumed
    if now.enqueued < before.held_enqueued + resumed or now.promoted < before.held_promoted:
        return now
    if not lag.paused:
        return replace(now, resumed=resumed + before.held_enqueued)
    return replace(
        now,
        held_enqueued=before.held_enqueued + max(now.enqueued - before.enqueued, 0),
        held_promoted=before.held_promoted + max(now.promoted - before.promoted, 0),
        resumed=resumed,
    )
