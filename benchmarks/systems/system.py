"""What the harness knows of a system: how to install it, run its programs, count its jobs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Tuning(Enum):
    """Which settings a system runs with."""

    BEST = "best"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One program: its arguments and what its environment has beyond ours."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A queue under one tuning, with its environment built.

    `unfinished` counts jobs that are not durably completed; `failed` those that ended otherwise.
    `drain_jobs` is what a drain of a few seconds takes.
    """

    name: str
    tuning: Tuning
    version: str
    settings: str
    install: tuple[Command, ...]
    worker: Command
    producer: Command
    unfinished: str
    failed: str
    drain_jobs: int
    batch: int = 1000
    enqueue_jobs: int = 200_000
    enqueues: tuple[str, ...] = ("single", "batch")
