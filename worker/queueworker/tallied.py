"""A Prometheus histogram that is counted without locks, by one thread, in a tenth of the time.

`prometheus_client.Histogram.observe` takes about 2 µs, as much as all else that a short job costs.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import REGISTRY, Collector

from queueworker.compat import override


class Tallied:
    """The counts of one set of label values."""

    __slots__ = ("_counts", "_edges_s", "_sum_s")

    def __init__(self, edges_s: Sequence[float]) -> None:
        self._edges_s = edges_s
        self._counts = [0] * (len(edges_s) + 1)
        self._sum_s = 0.0

    def observe(self, value_s: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._edges_s, value_s)] += 1
        self._sum_s += value_s

    def add(self, counts: Mapping[int, int], sum_s: float) -> None:
        """Count values that were counted elsewhere, by the number of their bucket."""
        for bucket, count in counts.items():
            self._counts[bucket] += count
        self._sum_s += sum_s

    def totals(self, step: int) -> tuple[list[tuple[str, float]], float]:
        """Give the cumulative count at every `step`th edge and at infinity, and the sum."""
        cumulative = list(accumulate(self._counts))
        edges = zip(self._edges_s, cumulative, strict=False)
        shown = [(str(edge), float(count)) for edge, count in list(edges)[::step]]
        return [*shown, ("+Inf", float(cumulative[-1]))], self._sum_s


class TalliedHistogram(Collector):
    """A histogram with labels; every `step`th of its edges (seconds, rising) is published."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        edges_s: Sequence[float],
        step: int = 1,
    ) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self._edges_s, self._step = tuple(edges_s), step
        self._children: dict[tuple[str, ...], Tallied] = {}
        REGISTRY.register(self)

    def child(self, *values: str) -> Tallied:
        """Find or make the counts of these label values."""
        return self._children.setdefault(values, Tallied(self._edges_s))

    @override
    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give the current counts."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, child in list(self._children.items()):
            buckets, sum_s = child.totals(self._step)
            family.add_metric(values, buckets=buckets, sum_value=sum_s)
        yield family
