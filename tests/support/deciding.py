"""Policies of tests, and decisions made from a state."""

from collections.abc import Iterable

from tests.support.samples import sample

from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.model import (
    Decision,
    Policy,
    Replicas,
    Sample,
)
from queueworker_operator.decision.state import State

POLICY = Policy(max_replicas=60)
TIGHT = Policy(start_within_s=5.0, max_replicas=60)
ONE_POD = Replicas(current=1, ready=1)


def decided(policy: Policy, state: State, seen: Sample | None, replicas: Replicas) -> Decision:
    return decide(policy, state, seen, replicas)[0]


def observed(
    state: State, samples: Iterable[Sample], replicas: Replicas = ONE_POD, policy: Policy = POLICY
) -> State:
    for seen in samples:
        state = observe(policy, state, seen, replicas)
    return state


def ticks(per_tick: Iterable[int]) -> list[Sample]:
    """Give a sample each 5 s; between two of them so many jobs became ready."""
    total, samples = 0, [sample()]
    for tick, arrived in enumerate(per_tick):
        total += arrived
        samples.append(sample(5.0 * (tick + 1), enqueued_total=total))
    return samples
