"""KEDA: its operator switches between 0 and the first pod, an HPA does the rest.

Sources: the documentation of KEDA 2.21 (pollingInterval 30, cooldownPeriod 300, the example of
its PostgreSQL scaler) and measurements of the real thing: 1, 4, 8, 16, 32, 64, 100 pods, one step
each 15 s; the cooldown counts from the last poll that found work.
"""

import math
import random
from dataclasses import dataclass, replace

from queueworker_operator.decision.model import Sample
from queueworker_operator.simulate.hpa import Hpa, Recommendations
from queueworker_operator.simulate.policy import Seen
from queueworker_operator.simulate.reading import EPOCH_S

_RATE_WINDOW_S = 60.0
_RATE_STEP_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """When it polls and syncs next, when it last saw work, and what the HPA recommended.

    `counts` are (time, jobs enqueued until then) of the last minute.
    """

    poll_s: float
    sync_s: float
    active_s: float = EPOCH_S
    recommendations: Recommendations = ()
    counts: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keda:
    """A ScaledObject with the trigger ceil((waiting + running) / slots).

    `target` is its AverageValue. `rate_target` above 0 adds a trigger: the slots that the arrivals
    of the last minute keep busy, `service_s` each (the true mean), at that load.
    """

    name: str
    slots: float
    hpa: Hpa
    target: float = 1.0
    rate_target: float = 0.0
    service_s: float = 1.0
    lowest: int = 0
    poll_s: float = 30.0
    cooldown_s: float = 300.0
    drains: bool = False

    def begin(self, seed: int) -> Memory:
        """Start polls and syncs at random phases."""
        rng = random.Random(seed)  # noqa: S311 - a simulation
        poll_s, sync_s = rng.uniform(0, self.poll_s), rng.uniform(0, self.hpa.sync_s)
        return Memory(poll_s=EPOCH_S + poll_s, sync_s=EPOCH_S + sync_s)

    def step(self, memory: Memory, seen: Seen) -> tuple[int, Memory]:
        """Poll and sync when it is time; without metrics both hold."""
        current = seen.current
        polls, syncs = seen.at_s >= memory.poll_s, seen.at_s >= memory.sync_s
        if polls:
            memory = replace(memory, poll_s=memory.poll_s + self.poll_s)
        if syncs:
            memory = replace(memory, sync_s=memory.sync_s + self.hpa.sync_s)
        sample = seen.sample if polls or syncs else None
        if sample is None:
            return current, memory
        if self.rate_target:
            memory = _counted(memory, sample)
        if polls:
            current, memory = self._poll(memory, sample, current)
        if syncs and current > 0:
            wanted = self.hpa.wanted(current, self._metrics(memory, sample))
            current, kept = self.hpa.settle(sample.at_s, current, wanted, memory.recommendations)
            memory = replace(memory, recommendations=kept)
        return current, memory

    def _poll(self, memory: Memory, sample: Sample, current: int) -> tuple[int, Memory]:
        if sample.ready + sample.running > 0:
            return max(current, 1), replace(memory, active_s=sample.at_s)
        cold = sample.at_s - memory.active_s >= self.cooldown_s
        if self.lowest == 0 and current > 0 and cold:
            return 0, replace(memory, recommendations=())
        return max(current, self.lowest), memory

    def _metrics(self, memory: Memory, sample: Sample) -> tuple[float, ...]:
        depth = math.ceil((sample.ready + sample.running) / self.slots) / self.target
        if not self.rate_target:
            return (depth,)
        since_s, before = memory.counts[0]
        per_s = (sample.enqueued_total - before) / max(sample.at_s - since_s, _RATE_STEP_S)
        return depth, per_s * self.service_s / self.slots / self.rate_target


def _counted(memory: Memory, sample: Sample) -> Memory:
    """Remember the count of arrivals, so that those of the last minute are known."""
    counts = memory.counts
    if counts and sample.at_s - counts[-1][0] < _RATE_STEP_S:
        return memory
    since_s = sample.at_s - _RATE_WINDOW_S
    kept = tuple(count for count in counts if count[0] >= since_s - _RATE_STEP_S)
    return replace(memory, counts=(*kept, (sample.at_s, sample.enqueued_total)))
