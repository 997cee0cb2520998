"""PURE: percentiles of what was measured."""

import math
import statistics
from collections.abc import Sequence

MILLISECONDS = 1000
MOST_OUTSIDE = 0.05


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that at least `share` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Give the median between the ends of its 95 % interval, which assumes no distribution.

    The ends are order statistics (David and Nagaraja 2003, Order Statistics, section 7.1); of fewer
    than six values they are the least and the largest.
    """
    ordered, skipped, outside = sorted(values), 0, 2 * 0.5 ** len(values)
    chance = outside
    while skipped + 1 < len(values) / 2:
        chance *= (len(values) - skipped) / (skipped + 1)
        if outside + chance > MOST_OUTSIDE:
            break
        outside, skipped = outside + chance, skipped + 1
    return ordered[skipped], statistics.median(ordered), ordered[-1 - skipped]


def waits_ms(waits_s: Sequence[float]) -> dict[str, float]:
    """Give p50, p99 and the longest of some waits, in milliseconds, and their count."""
    return {
        "p50_ms": round(percentile(waits_s, 0.50) * MILLISECONDS, 3),
        "p99_ms": round(percentile(waits_s, 0.99) * MILLISECONDS, 3),
        "max_ms": round(max(waits_s) * MILLISECONDS, 3),
        "samples": len(waits_s),
    }
