"""Ours: the very functions that run in the cluster (deadline-budget control)."""

from dataclasses import dataclass, field

from queueworker_operator.controller.sampling import is_due
from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.model import Decision, Policy
from queueworker_operator.decision.state import State
from queueworker_operator.resource import in_force
from queueworker_operator.simulate.policy import Seen
from queueworker_operator.simulate.reading import EPOCH_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What was learned, when the last sample was folded, and when one was read at all."""

    state: State = field(default_factory=State)
    observed_at_s: float | None = None
    read_at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dbc:
    """`observe` each 5 s and `decide` each second, at the QueueWorker's policy, nothing tuned.

    `starts_at_s` is the time (epoch seconds) at which the trace begins: a schedule needs it.
    """

    policy: Policy
    starts_at_s: float = 0.0
    name: str = "dbc"
    drains: bool = True

    def begin(self, seed: int) -> Memory:  # noqa: ARG002 - nothing is drawn
        """Know nothing."""
        return Memory()

    def step(self, memory: Memory, seen: Seen) -> tuple[int, Memory]:
        """Give the replicas that are decided for."""
        decision, memory = self.decide(memory, seen)
        return decision.desired, memory

    def decide(self, memory: Memory, seen: Seen) -> tuple[Decision, Memory]:
        """Do what the operator's step does with a sample."""
        state, observed_at_s = memory.state, memory.observed_at_s
        sample, replicas = seen.sample, seen.replicas
        now_s = self.starts_at_s + seen.at_s - EPOCH_S
        policy = in_force(self.policy, now_s, state.start_up.estimate_s)
        if sample is not None and is_due(sample, observed_at_s):
            state = observe(policy, state, sample, replicas)
            observed_at_s = sample.at_s
        read_at_s = memory.read_at_s if sample is None else seen.at_s
        blind_s = 0.0 if read_at_s is None else seen.at_s - read_at_s
        decision, state = decide(policy, state, sample, replicas, blind_s=blind_s)
        return decision, Memory(state=state, observed_at_s=observed_at_s, read_at_s=read_at_s)
