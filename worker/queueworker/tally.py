"""What only the worker knows of one queue: starts, waits, busy time, service times.

Counted with a few additions a job, and handed on in bulk: to the database with the next batch of
completions, to Prometheus at the same time.
"""

from queueworker.metrics import JOB_WAIT
from queueworker.store import StatDelta
from queueworker.waits import WAIT_BUCKETS, wait_bucket


class Tally:
    """Counts since the last `take`."""

    def __init__(self, queue: str) -> None:
        self._metric = JOB_WAIT.child(queue)
        self._running = 0
        # Busy time is the sum over runs of (end or now) - (start or the last `take`).
        self._busy_s = 0.0
        self._started = 0
        self._waited_s = 0.0
        self._waits = [0] * WAIT_BUCKETS
        self._count, self._total_s, self._squares_s2 = 0, 0.0, 0.0

    def started(self, now_s: float, wait_s: float) -> None:
        """Count a start after a wait since the job was ready."""
        self._running += 1
        self._busy_s -= now_s
        self._started += 1
        self._waited_s += wait_s
        self._waits[wait_bucket(wait_s)] += 1

    def ended(self, now_s: float, service_s: float) -> None:
        """Count an end; `service_s` is counted as a measure of the service time."""
        self.stopped(now_s)
        self._count += 1
        self._total_s += service_s
        self._squares_s2 += service_s * service_s

    def stopped(self, now_s: float) -> None:
        """Count an end that measures nothing: the run was given up."""
        self._running -= 1
        self._busy_s += now_s

    def take(self, now_s: float) -> StatDelta | None:
        """Give what happened since the last call; None for nothing."""
        busy_s = self._busy_s + self._running * now_s
        if not (self._started or self._count or self._running):
            self._busy_s = 0.0
            return None
        waits = {bucket: count for bucket, count in enumerate(self._waits) if count}
        delta = StatDelta(
            started=self._started,
            busy_s=max(0.0, busy_s),
            service_count=self._count,
            service_sum_s=self._total_s,
            service_sq_sum_s2=self._squares_s2,
            waits=waits,
        )
        self._metric.add(waits, self._waited_s)
        self._busy_s = -self._running * now_s
        self._started, self._waited_s = 0, 0.0
        self._count, self._total_s, self._squares_s2 = 0, 0.0, 0.0
        for bucket in waits:
            self._waits[bucket] = 0
        return delta
