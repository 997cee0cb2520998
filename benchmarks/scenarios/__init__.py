"""The scenarios, one a file."""

from benchmarks.errors import BenchmarkError
from benchmarks.scenario import Scenario
from benchmarks.scenarios import (
    bulkhead,
    drain,
    enqueue,
    flat,
    footprint,
    lag,
    latency,
    memory,
    reaction,
    recovery,
    restarts,
    snapshot,
    steady,
)

SCENARIOS: dict[str, Scenario] = {
    one.name: one
    for one in (
        drain.SCENARIO,
        enqueue.SCENARIO,
        latency.SCENARIO,
        steady.SCENARIO,
        snapshot.SCENARIO,
        flat.SCENARIO,
        footprint.SCENARIO,
        lag.SCENARIO,
        recovery.SCENARIO,
        restarts.SCENARIO,
        memory.SCENARIO,
        reaction.SCENARIO,
        bulkhead.SCENARIO,
    )
}

__all__ = ["SCENARIOS", "scenario"]


def scenario(name: str) -> Scenario:
    """Give a scenario by its name."""
    if name not in SCENARIOS:
        raise BenchmarkError(f"no scenario is named {name!r}; there are {', '.join(SCENARIOS)}")
    return SCENARIOS[name]
