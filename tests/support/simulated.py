"""Workloads for tests of the simulator."""

import random
from array import array
from collections.abc import Iterable

from queueworker_operator.simulate.model import Lognormal, Workload
from queueworker_operator.simulate.policy import Seen


def workload(jobs: Iterable[tuple[float, float]], lasts_s: float) -> Workload:
    """Give jobs of (arrival, size)."""
    ordered = sorted(jobs)
    return Workload(
        at_s=array("d", [at_s for at_s, _ in ordered]),
        size_s=array("d", [size_s for _, size_s in ordered]),
        lasts_s=lasts_s,
    )


def poisson(
    rate_per_s: float, lasts_s: float, *, mean_s: float = 2.0, cv: float = 1.0, seed: int = 1
) -> Workload:
    """Give a Poisson stream of lognormal jobs."""
    rng, size = random.Random(seed), Lognormal(mean_s=mean_s, cv=cv)
    jobs, at_s = [], 0.0
    while (at_s := at_s + rng.expovariate(rate_per_s)) < lasts_s:
        jobs.append((at_s, size.draw(rng)))
    return workload(jobs, lasts_s)


class Fixed:
    """A policy that asks for the same all the time, or for what a plan says from when on."""

    def __init__(self, *plan: tuple[float, int], drains: bool = True) -> None:
        self.name, self.drains, self._plan = "fixed", drains, plan

    def begin(self, seed: int) -> float:  # noqa: ARG002 - nothing is drawn
        return -1.0

    def step(self, memory: float, seen: Seen) -> tuple[int, float]:  # noqa: ARG002 - blind
        second = memory + 1
        return [pods for from_s, pods in self._plan if from_s <= second][-1], second
