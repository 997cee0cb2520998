"""PURE: percentiles of what was measured."""

import math
from collections.abc import Sequence

MILLISECONDS = 1000


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that at least `share` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def waits_ms(waits_s: Sequence[float]) -> dict[str, float]:
    """Give p50, p99 and the longest of some waits, in milliseconds, and their count."""
    return {
        "p50_ms": round(percentile(waits_s, 0.50) * MILLISECONDS, 3),
        "p99_ms": round(percentile(waits_s, 0.99) * MILLISECONDS, 3),
        "max_ms": round(max(waits_s) * MILLISECONDS, 3),
        "samples": len(waits_s),
    }
