"""Names and labels of the families that are built at a scrape."""

from collections.abc import Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

OF_WORKER = ("namespace", "queueworker")
OF_QUEUE = (*OF_WORKER, "queue")


def gauge(name: str, description: str, labels: Sequence[str]) -> GaugeMetricFamily:
    """Name a gauge's family."""
    return GaugeMetricFamily(f"queueworker_{name}", description, labels=labels)


def counter(name: str, description: str, labels: Sequence[str]) -> CounterMetricFamily:
    """Name a counter's family."""
    return CounterMetricFamily(f"queueworker_{name}", description, labels=labels)
