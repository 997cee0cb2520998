"""All that an operator exports.

Values of a QueueWorker come from its last report at the time of the scrape, so nothing has to be
removed by hand when one is deleted.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import Metric

from queueworker_operator.decision.model import Decision
from queueworker_operator.metrics.families import OF_WORKER, counter, gauge
from queueworker_operator.metrics.queues import QueueFigures, of_queues
from queueworker_operator.report import Report

READ_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0)
DECISION_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The last tick of one QueueWorker; `sampled_at_s` by the clock given to `Metrics`.

    `recommended` are the replicas that each policy asks for, by its name; a handful of names.
    """

    report: Report
    queues: Sequence[QueueFigures]
    sampled_at_s: float | None
    recommended: Mapping[str, int] = field(default_factory=dict)
    forecast_error_ratio: float | None = None
    late_total: float | None = None


class Metrics:
    """All metrics of one operator, in the registry that is given."""

    def __init__(
        self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._published: dict[str, Published] = {}
        self._sampled_at_s: dict[str, float] = {}
        self._unread_since_s: dict[str, float] = {}
        self._counted: dict[str, set[tuple[str, str]]] = {}
        self.leader = Gauge(
            "queueworker_leader", "1 while this replica may write.", registry=registry
        )
        build = Info("queueworker_build", "Version of the operator.", registry=registry)
        build.info({"version": version("queueworker")})
        self.metric_read_seconds = Histogram(
            "queueworker_metric_read_seconds",
            "Time to read the lag of all queues of a database.",
            buckets=READ_BUCKETS_S,
            registry=registry,
        )
        self.metric_read_failures = Counter(
            "queueworker_metric_read_failures_total",
            "Reads of a database's lag that gave no usable answer.",
            registry=registry,
        )
        self.decision_seconds = Histogram(
            "queueworker_decision_seconds",
            "Time to compute one decision.",
            buckets=DECISION_BUCKETS_S,
            registry=registry,
        )
        self._decisions = Counter(
            "queueworker_decisions_total",
            "Decisions that changed the replicas or the reason.",
            (*OF_WORKER, "direction", "reason"),
            registry=registry,
        )
        registry.register(self)

    def publish(self, key: str, published: Published) -> None:
        """Take the last tick of `key` ("namespace/name")."""
        self._published[key] = published

    def know(self, keys: Collection[str]) -> None:
        """Take which QueueWorkers there are: one that cannot be read at all has an age, too."""
        now_s = self._clock()
        self._unread_since_s = {key: self._unread_since_s.get(key, now_s) for key in keys}
        for key in self._counted.keys() - self._unread_since_s.keys():
            for labels in self._counted.pop(key):
                self._decisions.remove(*key.split("/", 1), *labels)

    def sampled(self, key: str, at_s: float) -> None:
        """Note a reading of `key` that told nothing new."""
        self._sampled_at_s[key] = at_s

    def forget(self, key: str) -> None:
        """Stop exporting `key`; while it exists, it has not been read since."""
        self._published.pop(key, None)
        if key in self._unread_since_s:
            self._unread_since_s[key] = self._clock()
        self._sampled_at_s.pop(key, None)

    def count(self, key: str, decision: Decision) -> None:
        """Count a decision that changed something."""
        namespace, _, name = key.partition("/")
        direction = "hold"
        if decision.desired != decision.current:
            direction = "out" if decision.desired > decision.current else "in"
        labels = (direction, decision.reason.value)
        self._counted.setdefault(key, set()).add(labels)
        self._decisions.labels(namespace, name, *labels).inc()

    def collect(self) -> Iterable[Metric]:
        """Build the families of all QueueWorkers; called by a scrape, from another thread."""
        published = dict(self._published)
        yield from self._of_workers(published)
        yield from self._ages(published)
        yield from of_forecasts(published)
        yield from of_queues({key: entry.queues for key, entry in published.items()})

    def _of_workers(self, published: dict[str, Published]) -> Iterable[Metric]:
        desired = gauge("desired_replicas", "Replicas that the decision asks for.", OF_WORKER)
        current = gauge("current_replicas", "Replicas that the target has.", OF_WORKER)
        ready = gauge("ready_replicas", "Pods that are Ready.", OF_WORKER)
        largest = gauge("max_replicas", "The bound that the user gave.", OF_WORKER)
        promise = gauge("start_within_seconds", "The promise that the user gave.", OF_WORKER)
        allowed = gauge("late_ratio_allowed", "The share of jobs that may start late.", OF_WORKER)
        trouble = gauge(
            "trouble",
            "1 while a condition of the QueueWorker has this reason.",
            (*OF_WORKER, "reason"),
        )
        late = counter(
            "late_jobs",
            "Jobs that started later than promised at that time; from 0 with each operator.",
            OF_WORKER,
        )
        for key, entry in published.items():
            labels, report = key.split("/", 1), entry.report
            largest.add_metric(labels, report.policy.max_replicas)
            promise.add_metric(labels, report.policy.start_within_s)
            allowed.add_metric(labels, report.policy.late_percent / 100)
            for fact in report.facts:
                trouble.add_metric([*labels, fact.value], 1)
            if report.decision is not None:
                desired.add_metric(labels, report.decision.desired)
            if report.replicas is not None:
                current.add_metric(labels, report.replicas.current)
                ready.add_metric(labels, report.replicas.ready)
            if entry.late_total is not None:
                late.add_metric(labels, entry.late_total)
        yield from (desired, current, ready, largest, promise, allowed, late, trouble)

    def _ages(self, published: dict[str, Published]) -> Iterable[Metric]:
        """Tell of each QueueWorker how old its sample is: also of those that no loop can read."""
        now_s, unread = self._clock(), dict(self._unread_since_s)
        age = gauge(
            "metric_age_seconds",
            "Age of the sample last decided on; of one that cannot be read, since when.",
            OF_WORKER,
        )
        for key in {**published, **unread}:
            read_at_s = published[key].sampled_at_s if key in published else None
            if read_at_s is not None:
                at_s = max(read_at_s, self._sampled_at_s.get(key, read_at_s))
            else:
                at_s = unread.get(key, now_s)
            age.add_metric(key.split("/", 1), now_s - at_s)
        yield age


def of_forecasts(published: dict[str, Published]) -> Iterable[Metric]:
    """Build the families that judge a decision beside another policy, and its forecasts."""
    recommended = gauge(
        "recommended_replicas",
        "Replicas that a policy asks for now: dbc is ours without the manual override, keda"
        " ceil((waiting + running) / slots).",
        (*OF_WORKER, "policy"),
    )
    error = gauge(
        "forecast_error_ratio",
        "Share of the jobs of the last ten minutes by which forecasts and arrivals differed.",
        OF_WORKER,
    )
    for key, entry in published.items():
        labels = key.split("/", 1)
        for policy, replicas in entry.recommended.items():
            recommended.add_metric([*labels, policy], replicas)
        if entry.forecast_error_ratio is not None:
            error.add_metric(labels, entry.forecast_error_ratio)
    yield from (recommended, error)
