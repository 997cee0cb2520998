"""PURE: the jobs that started later than promised, each judged by the promise of its time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import sub

from queueworker_operator.lag import QueueLag
from queueworker_operator.lag.sample import late_total

Waits = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LateStarts:
    """Late starts since the first reading, and the wait histograms of the last one by queue."""

    total: float = 0.0
    waits: Mapping[str, Waits] = field(default_factory=dict)

    def refresh(self, lags: Iterable[QueueLag], start_within_s: float) -> "LateStarts":
        """Judge what started since the last reading by the promise of now.

        What started in a queue before its first reading here is not counted.
        """
        now = {lag.queue: lag.wait_histogram for lag in lags}
        started = [_started(self.waits.get(queue), waits) for queue, waits in now.items()]
        late = sum(late_total(waits, start_within_s) for waits in started)
        return LateStarts(total=self.total + late, waits=now)


NONE_LATE = LateStarts()


def _started(before: Waits | None, now: Waits) -> Waits:
    """Give what came since; counts that fell are a new or restored database: begin anew."""
    if before is None or len(before) != len(now):
        return ()
    grown = tuple(map(sub, now, before))
    return grown if min(grown, default=0) >= 0 else ()
