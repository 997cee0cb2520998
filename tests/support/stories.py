"""Bursts and streams of jobs for stories, and what a story has cost."""

import random
from collections.abc import Callable

from tests.support.fluid import Arrival, Outcome, Scenario, stream

Draw = Callable[[random.Random], float]


def between(low: float, high: float) -> Draw:
    return lambda rng: rng.uniform(low, high)


def exponential(mean: float) -> Draw:
    return lambda rng: rng.expovariate(1 / mean)


def burst(at_s: float, jobs: int, service_s: Draw) -> tuple[Arrival, ...]:
    rng = random.Random(3)
    return tuple(Arrival(at_s=at_s, service_s=service_s(rng)) for _ in range(jobs))


def poisson(rate_per_s: float, from_s: float, to_s: float, service_s: Draw) -> tuple[Arrival, ...]:
    rng = random.Random(5)
    return tuple(stream(rng, rate_per_s=rate_per_s, from_s=from_s, to_s=to_s, service_s=service_s))


def sizes(outcome: Outcome) -> list[int]:
    return [change.decision.desired for change in outcome.changes]


def pod_seconds(outcome: Outcome) -> int:
    return sum(outcome.pods)


def work_pod_s(scenario: Scenario) -> float:
    return sum(job.service_s for job in scenario.arrivals) / scenario.slots
