"""The autoscaler of Knative Serving, on jobs in the queue and at work in place of requests.

Source: Knative Serving's documentation and the defaults of config-autoscaler: a decision each
2 s, stable window 60 s, panic window 10 % of it, panic threshold 200 %, target utilization 70 %,
max-scale-up-rate 1000, max-scale-down-rate 2, scale-to-zero-grace-period 30 s.
"""

import math
from dataclasses import dataclass, replace

from queueworker_operator.simulate.policy import Seen

_TICK_S = 2.0
_STABLE_S = 60.0
_PANIC_S = 6.0
_PANIC_FROM = 2.0
_UTILISATION = 0.7
_UP_RATE = 1000.0
_DOWN_RATE = 2.0
_ZERO_GRACE_S = 30.0

Concurrency = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Concurrency of the last minute; since when it panics, and the most pods since then.

    `zero_s` is since when no pod was needed.
    """

    tick_s: float = 0.0
    seen: Concurrency = ()
    panic_s: float | None = None
    panic_pods: int = 0
    zero_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpa:
    """One revision with a container concurrency of `slots`."""

    slots: int
    lowest: int
    highest: int
    name: str = "kpa"
    drains: bool = False

    def begin(self, seed: int) -> Memory:  # noqa: ARG002 - nothing is drawn
        """Know nothing."""
        return Memory()

    def step(self, memory: Memory, seen: Seen) -> tuple[int, Memory]:
        """Decide each 2 s; hold without metrics."""
        sample = seen.sample if seen.at_s >= memory.tick_s + _TICK_S else None
        if sample is None:
            return seen.current, memory
        kept = tuple(one for one in memory.seen if one[0] > sample.at_s - _STABLE_S)
        now = (sample.at_s, sample.ready + sample.running)
        memory = replace(memory, tick_s=sample.at_s, seen=(*kept, now))
        wanted, memory = self._panic(memory, max(seen.replicas.ready, 1))
        zero_s = None if wanted else (memory.zero_s or sample.at_s)
        if zero_s is not None and sample.at_s - zero_s < _ZERO_GRACE_S:
            wanted = min(seen.current, 1)
        memory = replace(memory, zero_s=zero_s)
        return min(max(wanted, self.lowest), self.highest), memory

    def _panic(self, memory: Memory, ready: int) -> tuple[int, Memory]:
        """Give the pods of the stable window, or in a panic the most of both windows."""
        stable = self._pods(memory, _STABLE_S, ready)
        hectic = self._pods(memory, _PANIC_S, ready)
        panic_s = memory.tick_s if hectic / ready >= _PANIC_FROM else memory.panic_s
        if panic_s is None or memory.tick_s - panic_s >= _STABLE_S:
            return stable, replace(memory, panic_s=None, panic_pods=0)
        most = max(memory.panic_pods, stable, hectic)
        return most, replace(memory, panic_s=panic_s, panic_pods=most)

    def _pods(self, memory: Memory, window_s: float, ready: int) -> int:
        jobs = [count for at_s, count in memory.seen if at_s > memory.tick_s - window_s]
        pods = math.ceil(sum(jobs) / len(jobs) / self.slots / _UTILISATION - 1e-9)
        fewest = math.floor(ready / _DOWN_RATE)
        return min(max(pods, fewest), math.ceil(_UP_RATE * ready))
