"""Arrivals of many queues, in one thread: a trickle of mixed jobs, and a burst now and then."""

import heapq
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.keda.ground import Ground

LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Lengths of jobs: most are short, a share is long."""

    short_s: tuple[float, float] = (0.1, 1.5)
    long_s: tuple[float, float] = (10.0, 60.0)
    long_share: float = 0.08

    def draw(self, rng: random.Random) -> float:
        """Give one length."""
        return rng.uniform(*(self.long_s if rng.random() < self.long_share else self.short_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What comes into each queue: a burst is over long before its long jobs are."""

    trickle_per_s: float = 0.02
    burst: int = 24
    every_s: tuple[float, float] = (50.0, 70.0)
    mix: Mix = Mix()


def run_load(
    place: Ground, queues: Sequence[str], pattern: Pattern, goes_on: Callable[[], bool]
) -> int:
    """Enqueue into all queues, each at its own phase, as long as it `goes_on`; give the count."""
    rng, begun_s, count = random.Random(1), time.time(), 0  # noqa: S311 arrivals
    due: list[tuple[float, str, int]] = []
    for queue in queues:
        due.append((begun_s + rng.uniform(0, pattern.every_s[1]), queue, pattern.burst))
        due.append((begun_s + rng.expovariate(pattern.trickle_per_s), queue, 1))
    heapq.heapify(due)
    while goes_on():
        while due[0][0] <= time.time():
            at_s, queue, jobs = heapq.heappop(due)
            place.enqueue(queue, [pattern.mix.draw(rng) for _ in range(jobs)])
            count += jobs
            gap_s = rng.expovariate(pattern.trickle_per_s)
            if jobs == pattern.burst:
                gap_s = rng.uniform(*pattern.every_s)
            heapq.heappush(due, (at_s + gap_s, queue, jobs))
        time.sleep(LOOK_EVERY_S)
    return count
