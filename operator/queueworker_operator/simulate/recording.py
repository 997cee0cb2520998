"""PURE: what happened between two readings of a queue, as rows of a trace."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from queueworker_operator.lag import QueueLag
from queueworker_operator.simulate.model import Lognormal

HEADER = "t_s,arrivals,announced"

Lags = Mapping[str, QueueLag]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The reading at the beginning, the last one, and the jobs that arrived in between."""

    first: Lags
    last: Lags
    jobs: int = 0

    @property
    def lasts_s(self) -> float:
        """Give the seconds from the first reading to the last."""
        return at_s(self.last) - at_s(self.first)

    def add(self, lags: Lags) -> tuple["Recording", list[str]]:
        """Give the recording with one more reading, and the rows of what came before it.

        Jobs that were enqueued and those that fell due are told apart. A counter that went back
        (another server) begins anew: what happened in between is unknown.
        """
        counts = [
            int(sum(after - before for before, after in steps))
            for steps in (
                list(_steps(self.last, lags, "enqueued_total")),
                list(_steps(self.last, lags, "promoted_total")),
            )
        ]
        rows = [
            f"{self.lasts_s:.3f},{count},{mark}"
            for mark, count in enumerate(counts)
            if count or mark == 0
        ]
        return Recording(first=self.first, last=lags, jobs=self.jobs + sum(counts)), rows

    def service(self) -> Lognormal | None:
        """Give the mean time of a job and its variation; None when none ended."""
        count, total_s, square_s2 = (
            sum(after - before for before, after in _steps(self.first, self.last, name))
            for name in ("service_count", "service_sum_s", "service_sq_sum_s2")
        )
        if count <= 0 or total_s <= 0:
            return None
        mean_s = total_s / count
        variance_s2 = max(square_s2 / count - mean_s * mean_s, 0.0)
        return Lognormal(mean_s=mean_s, cv=math.sqrt(variance_s2) / mean_s)


def at_s(lags: Lags) -> float:
    """Give the database's time of a reading."""
    return max(lag.at_s for lag in lags.values())


def missing(lags: Lags, queues: Iterable[str]) -> list[str]:
    """Name the queues that the database does not know."""
    return sorted(set(queues) - set(lags))


def _steps(before: Lags, after: Lags, counter: str) -> Iterator[tuple[float, float]]:
    """Give a counter of each queue before and after, where it did not go back."""
    for queue, lag in after.items():
        if queue in before and getattr(lag, counter) >= getattr(before[queue], counter):
            yield getattr(before[queue], counter), getattr(lag, counter)
