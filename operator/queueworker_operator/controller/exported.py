"""What a tick leaves for the next scrape."""

from queueworker_operator.controller.advice import recommended
from queueworker_operator.controller.record import Verdict
from queueworker_operator.controller.sampling import Sampled
from queueworker_operator.controller.watch import Watch
from queueworker_operator.lag import QueueLag
from queueworker_operator.metrics import Published, QueueFigures
from queueworker_operator.report import Report


def published(watch: Watch, found: Sampled, verdict: Verdict | None, report: Report) -> Published:
    """Gather what is exported; followers export too."""
    return Published(
        report=report,
        queues=tuple(map(figures_of, found.lags)),
        sampled_at_s=watch.sampled_at_s,
        recommended={} if verdict is None else recommended(verdict),
        forecast_error_ratio=watch.forecasts.error_ratio,
        late_total=None if found.sample is None else watch.late.total,
    )


def figures_of(lag: QueueLag) -> QueueFigures:
    """Pick what is exported of a queue."""
    return QueueFigures(
        queue=lag.queue,
        ready=lag.ready,
        scheduled=lag.scheduled,
        running=lag.running,
        dead=lag.dead,
        oldest_ready_age_s=lag.oldest_ready_age_s,
        paused=lag.paused,
        enqueued_total=lag.enqueued_total,
        started_total=lag.started_total,
        succeeded_total=lag.succeeded_total,
        failed_total=lag.failed_total,
        released_total=lag.released_total,
        rescued_pod_gone_total=lag.rescued_pod_gone_total,
        rescued_lease_ended_total=lag.rescued_total - lag.rescued_pod_gone_total,
        refused_total=lag.refused_total,
    )
