"""Minutes in the life of a QueueWorker, scraped from the real exporter as input of rule tests."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry
from tests.support.lags import BUCKETS, lag
from tests.support.targets import PodTarget

from queueworker_operator.controller.exported import published
from queueworker_operator.controller.ports import Reading
from queueworker_operator.controller.sampling import sampled
from queueworker_operator.controller.watch import Assignment, Watch
from queueworker_operator.decision.model import Policy
from queueworker_operator.lag import Lags, QueueLag
from queueworker_operator.lag.sample import edge_s
from queueworker_operator.metrics import Metrics
from queueworker_operator.report import Report

KEY = "shop/mail"
EDGES_S = tuple(map(edge_s, range(BUCKETS)))


def started(row: QueueLag, jobs: int, wait_s: float) -> QueueLag:
    """Give the row after so many more starts, each after that wait."""
    waits = list(row.wait_histogram)
    waits[bisect_left(EDGES_S, wait_s)] += jobs
    total = row.started_total + jobs
    return replace(row, started_total=total, wait_histogram=tuple(waits))


class RulePlay:
    """A watch of `rows` with a promise; each minute is read, published and scraped."""

    def __init__(self, rows: Mapping[str, QueueLag], promise_s: float) -> None:
        self.rows = dict(rows)
        self.minutes = 0
        self._values: dict[str, list[str]] = {}
        self._registry = CollectorRegistry()
        self._metrics = Metrics(self._registry)
        self._watch = Watch(
            assignment=Assignment(
                key=KEY,
                queues=tuple(rows),
                policy=Policy(start_within_s=promise_s),
                target=PodTarget("", tuple(rows)),
            )
        )

    def promise(self, promise_s: float) -> None:
        """Change `startWithin`."""
        before = self._watch.assignment
        policy = replace(before.policy, start_within_s=promise_s)
        self._watch.take(replace(before, policy=policy))

    def serve(self, *queues: str) -> None:
        """Change `spec.queues`."""
        self._watch.take(replace(self._watch.assignment, queues=queues))

    def go_on(self, minutes: int, jobs: int, wait_s: float) -> None:
        """Start so many jobs a minute in each queue, each after that wait."""
        for _ in range(minutes):
            self.rows = {name: started(row, jobs, wait_s) for name, row in self.rows.items()}
            self._read()
            self._scrape()

    def series(self) -> list[dict[str, str]]:
        """Give all that was scraped as promtool's `input_series`."""
        return [
            {"series": name, "values": " ".join(values)} for name, values in self._values.items()
        ]

    def _read(self) -> None:
        lags = Lags(at_s=60.0 * self.minutes, rows=self.rows)
        found = sampled(self._watch, Reading(read_at_s=60.0 * self.minutes, lags=lags), replicas=1)
        policy = self._watch.assignment.policy
        report = Report(policy=policy, generation=1, sample=found.sample)
        self._metrics.publish(KEY, published(self._watch, found, None, report))

    def _scrape(self) -> None:
        for family in self._registry.collect():
            for sample in family.samples:
                labels = ",".join(f'{name}="{text}"' for name, text in sample.labels.items())
                values = self._values.setdefault(f"{sample.name}{{{labels}}}", [])
                values.extend("_" for _ in range(len(values), self.minutes))
                values.append(repr(float(sample.value)))
        self.minutes += 1


def queue(name: str, **fields: Any) -> QueueLag:
    """Give a queue with weeks of work behind it: most after 10 s, some after 40 s or 100 s."""
    row = lag(name, **fields)
    for jobs, wait_s in ((100_000, 10.0), (5_000, 40.0), (5_000, 100.0)):
        row = started(row, jobs, wait_s)
    return row
