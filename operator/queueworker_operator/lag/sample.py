"""PURE: the rows of a QueueWorker's queues become one sample."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from queueworker_operator.decision.model import Sample
from queueworker_operator.lag import QueueLag
from queueworker_operator.lag.pauses import NO_PAUSES, Pauses

FIRST_EDGE_S = 0.01
EDGES_PER_DOUBLING = 2
# Without a worker to ask, a task stays unknown this long; then pods are started to ask again.
UNKNOWN_FOR_S = 600.0

QueueTask = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Tasks with ready jobs that no live worker of their queue has registered, and since when."""

    tasks: Mapping[QueueTask, float]

    def refresh(self, lags: Iterable[QueueLag]) -> "Unknown":
        """Ask the live workers of each queue; where there are none, remember what the last said.

        Until a worker has lived, every task counts as known: its jobs must start one.
        """
        tasks: dict[QueueTask, float] = {}
        for lag in lags:
            tasks.update(self._of(lag))
        return Unknown(tasks=tasks)

    def _of(self, lag: QueueLag) -> Mapping[QueueTask, float]:
        if lag.workers and lag.worker_tasks:
            strange = set(lag.ready_by_task) - set(lag.worker_tasks)
            return {(lag.queue, task): lag.at_s for task in strange}
        return {
            (queue, task): at_s
            for (queue, task), at_s in self.tasks.items()
            if queue == lag.queue and lag.at_s - at_s < UNKNOWN_FOR_S
        }


NONE_UNKNOWN = Unknown(tasks={})


def pool(
    lags: Sequence[QueueLag],
    start_within_s: float,
    unknown: Unknown,
    pauses: Pauses = NO_PAUSES,
) -> Sample:
    """Pool the queues that one Deployment serves: jobs add up, its workers are counted once.

    Promoted jobs (due ones and retries) are arrivals too, and counted apart as announced. Jobs
    of paused queues start nowhere: they are no backlog, and what `pauses` holds has not arrived.
    Jobs of `unknown` tasks are counted in `ready` and in `unclaimable`.
    """
    counted = [pauses.counted(lag) for lag in lags]
    open_lags = [lag for lag in lags if not lag.paused]
    claimable = [lag for lag in open_lags if not unclaimable(lag, unknown)]
    widest = max(lags, key=lambda lag: lag.workers)
    return Sample(
        at_s=max(lag.at_s for lag in lags),
        ready=sum(lag.ready for lag in open_lags),
        oldest_age_s=oldest_age_s(open_lags),
        running=sum(lag.running for lag in lags),
        enqueued_total=sum(counters.arrived for counters in counted),
        announced_total=sum(counters.announced for counters in counted),
        finished_total=sum(lag.succeeded_total + lag.failed_total for lag in lags),
        busy_slot_seconds_total=sum(lag.busy_slot_seconds_total for lag in lags),
        service_count=sum(lag.service_count for lag in lags),
        service_sum_s=sum(lag.service_sum_s for lag in lags),
        service_sq_sum_s2=sum(lag.service_sq_sum_s2 for lag in lags),
        started_total=sum(lag.started_total for lag in lags),
        late_total=sum(late_total(lag.wait_histogram, start_within_s) for lag in lags),
        due_5s=tuple(map(sum, zip_longest(*(lag.due_5s for lag in open_lags), fillvalue=0))),
        slots_per_pod=max(1, round(widest.slots / widest.workers)) if widest.workers else None,
        workers=widest.workers,
        unclaimable=sum(unclaimable(lag, unknown) for lag in open_lags),
        claimable_age_s=oldest_age_s(claimable),
    )


def oldest_age_s(lags: Iterable[QueueLag]) -> float:
    """Give the age of the oldest ready job of all queues."""
    return max((lag.oldest_ready_age_s for lag in lags if lag.ready), default=0.0)


def empty(at_s: float) -> Sample:
    """Give the sample of queues that do not exist yet: no job was ever enqueued."""
    return Sample(
        at_s=at_s,
        ready=0,
        oldest_age_s=0.0,
        running=0,
        enqueued_total=0,
        announced_total=0,
        finished_total=0,
        busy_slot_seconds_total=0.0,
        service_count=0,
        service_sum_s=0.0,
        service_sq_sum_s2=0.0,
        started_total=0,
        late_total=0.0,
    )


def unclaimable(lag: QueueLag, unknown: Unknown) -> int:
    """Count the ready jobs that no worker can claim."""
    stuck = sum(
        jobs for task, jobs in lag.ready_by_task.items() if (lag.queue, task) in unknown.tasks
    )
    return min(lag.ready, stuck)


def late_total(histogram: Sequence[int], start_within_s: float) -> float:
    """Count the waits above the promise; inside a bucket they are taken as spread evenly.

    Bucket i ends at 0.01 s * 2^(i/2); the last one has no end and counts as late whole.
    """
    late = 0.0
    for index, waits in enumerate(histogram):
        upper_s = edge_s(index)
        lower_s = edge_s(index - 1) if index else 0.0
        if lower_s >= start_within_s or index == len(histogram) - 1:
            late += waits
        elif upper_s > start_within_s:
            late += waits * (upper_s - start_within_s) / (upper_s - lower_s)
    return late


def edge_s(index: int) -> float:
    """Give the upper edge of a bucket of the wait histogram, seconds."""
    return float(FIRST_EDGE_S * 2 ** (index / EDGES_PER_DOUBLING))
