"""The HorizontalPodAutoscaler of kube-controller-manager, for metrics of type AverageValue.

Source: kubernetes/pkg/controller/podautoscaler (1.36): tolerance 10 %, sync period 15 s, without
`behavior` at most max(2 x current, 4) pods a sync, scale-down stabilization 300 s (the highest
recommendation of that window).
"""

import math
from dataclasses import dataclass

Recommendations = tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hpa:
    """Its settings.

    A sync goes up to the most of `up_factor` times the pods there are, `up_least`, and `up_more`
    pods more.
    """

    lowest: int
    highest: int
    sync_s: float = 15.0
    tolerance: float = 0.1
    down_window_s: float = 300.0
    up_factor: float = 2.0
    up_least: int = 4
    up_more: int = 0

    def wanted(self, current: int, metrics: tuple[float, ...]) -> int:
        """Give the replicas for metrics, each already divided by its target: the highest wins."""
        return max(self._wanted(current, metric) for metric in metrics)

    def _wanted(self, current: int, metric: float) -> int:
        if abs(metric / max(current, 1) - 1) <= self.tolerance:
            return current
        return math.ceil(metric - 1e-9)

    def settle(
        self, now_s: float, current: int, wanted: int, earlier: Recommendations
    ) -> tuple[int, Recommendations]:
        """Apply the stabilization window, the limit of a sync and the bounds."""
        since_s = now_s - self.down_window_s
        kept = (*((at, pods) for at, pods in earlier if at > since_s), (now_s, wanted))
        stable = wanted if wanted >= current else min(max(pods for _, pods in kept), current)
        most = max(int(self.up_factor * current), self.up_least, current + self.up_more)
        return min(max(min(stable, most), self.lowest), self.highest), kept
