"""What is exported of the queues: as they were read last, whichever replica reads them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric

from queueworker_operator.metrics.families import OF_QUEUE, counter, gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """One queue as it was read last."""

    queue: str
    ready: int
    scheduled: int
    running: int
    dead: int
    oldest_ready_age_s: float
    paused: bool
    enqueued_total: int
    started_total: int
    succeeded_total: int
    failed_total: int
    released_total: int
    rescued_pod_gone_total: int
    rescued_lease_ended_total: int
    refused_total: int


Read = Mapping[str, Sequence[QueueFigures]]
"""The queues of each QueueWorker, by its key."""


def of_queues(read: Read) -> Iterable[Metric]:
    """Build the families of the queues."""
    yield from gauges(read)
    yield from counters(read)
    yield from endings(read)


def gauges(read: Read) -> Iterable[Metric]:
    """Tell how many jobs are in which state, and whether any may start."""
    ready = gauge("ready_jobs", "Jobs that may be claimed now.", OF_QUEUE)
    scheduled = gauge("scheduled_jobs", "Jobs that become ready later.", OF_QUEUE)
    running = gauge("running_jobs", "Jobs whose handler runs.", OF_QUEUE)
    dead = gauge("dead_jobs", "Jobs out of attempts.", OF_QUEUE)
    oldest = gauge("oldest_ready_age_seconds", "Age of the oldest ready job.", OF_QUEUE)
    paused = gauge("queue_paused", "1 while claims of the queue are suspended.", OF_QUEUE)
    for labels, figures in each(read):
        ready.add_metric(labels, figures.ready)
        scheduled.add_metric(labels, figures.scheduled)
        running.add_metric(labels, figures.running)
        dead.add_metric(labels, figures.dead)
        oldest.add_metric(labels, figures.oldest_ready_age_s)
        paused.add_metric(labels, figures.paused)
    yield from (ready, scheduled, running, dead, oldest, paused)


def counters(read: Read) -> Iterable[Metric]:
    """Tell how many runs were asked for, began and ended."""
    enqueued = counter("enqueued_jobs", "Jobs that were enqueued ready.", OF_QUEUE)
    started = counter("started_jobs", "Runs that were started.", OF_QUEUE)
    completed = counter("completed_jobs", "Runs that ended, by outcome.", (*OF_QUEUE, "outcome"))
    for labels, figures in each(read):
        enqueued.add_metric(labels, figures.enqueued_total)
        started.add_metric(labels, figures.started_total)
        completed.add_metric([*labels, "succeeded"], figures.succeeded_total)
        completed.add_metric([*labels, "failed"], figures.failed_total)
    yield from (enqueued, started, completed)


def endings(read: Read) -> Iterable[Metric]:
    """Tell how many claims ended otherwise than by a run, and what was written after that."""
    released = counter("released_jobs", "Jobs that workers gave back uncharged.", OF_QUEUE)
    rescued = counter(
        "rescued_jobs",
        "Jobs taken back from workers that died, by reason: pod_gone (the operator ended the lease,"
        " since the pod is gone) or lease_ended (nobody renewed it).",
        (*OF_QUEUE, "reason"),
    )
    refused = counter(
        "stale_writes_refused",
        "Results that came after their job was taken back or cancelled.",
        OF_QUEUE,
    )
    for labels, figures in each(read):
        released.add_metric(labels, figures.released_total)
        rescued.add_metric([*labels, "pod_gone"], figures.rescued_pod_gone_total)
        rescued.add_metric([*labels, "lease_ended"], figures.rescued_lease_ended_total)
        refused.add_metric(labels, figures.refused_total)
    yield from (released, rescued, refused)


def each(read: Read) -> Iterator[tuple[list[str], QueueFigures]]:
    """Give each queue with its labels."""
    for key, queues in read.items():
        for figures in queues:
            yield [*key.split("/", 1), figures.queue], figures
