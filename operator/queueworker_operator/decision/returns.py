"""How soon a pod that was let go is needed again: whether holding it longer would have paid.

Source: where the gaps are known, the best time to hold is one of them, and it follows from what
each would have cost (ski rental with a known distribution: Karlin, Manasse, McGeoch and Owicki,
"Competitive randomized algorithms for nonuniform problems", Algorithmica, 1994).
"""

import math
from itertools import pairwise

from queueworker_operator.decision.recurrence import Returns

GAPS_S = (15.0, 30.0, 60.0, 90.0, 120.0, 180.0, 240.0, 300.0, 420.0, 600.0, 900.0, 1200.0)
"""Upper ends of the classes that gaps are counted in; one more class is for longer ones."""

_MEMORY_S = 3600.0
_AT_ONCE = 1.5


def learn_returns(returns: Returns, at_s: float, pods: float, elapsed_s: float) -> Returns:
    """Fold the pods wanted at `at_s`: those that were wanted before, and not lately, returned."""
    kept = math.exp(-elapsed_s / _MEMORY_S)
    weights = [kept * weight for weight in returns.weights] or [0.0] * (len(GAPS_S) + 1)
    levels = [level for level in returns.levels if at_s - level[0] <= GAPS_S[-1]]
    if returns.levels:
        weights[-1] += max(pods - max((more for _, more in levels), default=0.0), 0.0)
    for (then_s, more), (_, fewer) in pairwise((*levels, (at_s, 0.0))):
        back, gap_s = min(pods, more) - fewer, at_s - then_s
        if back > 0 and gap_s > _AT_ONCE * elapsed_s:
            weights[_class_of(gap_s)] += back
    higher = (level for level in levels if level[1] > pods)
    return Returns(levels=(*higher, (at_s, pods)), weights=tuple(weights))


def _class_of(gap_s: float) -> int:
    return next((index for index, most_s in enumerate(GAPS_S) if gap_s <= most_s), len(GAPS_S))


def worth_holding_s(returns: Returns, price_s: float) -> float:
    """Give the hold that would have paid best, 0 when none did.

    `price_s` says how many seconds of a pod it is worth that a pod is there when it is needed.
    """
    best, best_s, gained, earlier_s = 0.0, 0.0, 0.0, 0.0
    longer = sum(returns.weights)
    for weight, gap_s in zip(returns.weights, GAPS_S, strict=False):
        gained += weight * (price_s - (earlier_s + gap_s) / 2)
        longer -= weight
        if gained - longer * gap_s > best:
            best, best_s = gained - longer * gap_s, gap_s
        earlier_s = gap_s
    return best_s
