"""What every policy is: a pure fold over what it sees, once a second."""

from typing import Any, Protocol

from queueworker_operator.decision.model import Replicas, Sample


class Seen(Protocol):
    """What a policy may look at; `sample` is None in a gap of the telemetry."""

    @property
    def at_s(self) -> float:
        """Give the database's time."""

    @property
    def current(self) -> int:
        """Give the replicas that are asked for."""

    @property
    def sample(self) -> Sample | None:
        """Give the queue as the lag source reads it."""

    @property
    def replicas(self) -> Replicas:
        """Give the target as the operator reads it."""


class Scaler(Protocol):
    """A policy. Each has a memory of its own kind: `begin` gives it, `step` the next one."""

    @property
    def name(self) -> str:
        """Give the name on the command line."""

    @property
    def drains(self) -> bool:
        """Tell whether pods are emptied before they are removed, not ended at random."""

    def begin(self, seed: int) -> Any:
        """Give the memory before the first step."""

    def step(self, memory: Any, seen: Seen) -> tuple[int, Any]:
        """Give the replicas to ask for, and the memory afterwards."""
