"""What a scenario is: cases to alternate between, and how to measure one of them once."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from benchmarks.server import Server, running_server
from benchmarks.systems import System

Sample = dict[str, Any]
"""Figures of one run by name; lists (a series, names) are kept, but have no median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said; None leaves the choice to the scenario or the system."""

    processes: tuple[int, ...] | None = None
    jobs: int | None = None
    duration_s: float | None = None
    rate_per_s: float | None = None
    size: int | None = None
    share: float = 1.0  # of each system's own count of jobs

    def jobs_of(self, usual: int) -> int:
        """Give how many jobs a run takes that usually takes `usual`."""
        return self.jobs or max(1, round(usual * self.share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the result: a system, its worker processes, and a variant of the scenario."""

    system: System
    processes: int = 1
    variant: str = ""

    @property
    def label(self) -> str:
        """Give a short name for progress lines."""
        tuning = "" if self.system.tuning.value == "best" else f" ({self.system.tuning.value})"
        variant = f", {self.variant}" if self.variant else ""
        return f"{self.system.name}{tuning}, {self.processes} proc{variant}"


def fresh_server(_options: Options) -> AbstractContextManager[Server]:
    """Run a server of its own for this run."""
    return running_server()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A named measurement. `with_rivals` False measures the product alone."""

    name: str
    summary: str
    cases: Callable[[Sequence[System], Options], list[Case]]
    measure: Callable[[Server, Case, Options], Sample]
    repeats: int = 3
    with_rivals: bool = True
    opened: Callable[[Options], AbstractContextManager[Server]] = fresh_server


def each_system(
    systems: Sequence[System], options: Options, *, processes: tuple[int, ...] = (1,)
) -> list[Case]:
    """Give one case per count of processes and system, systems innermost so that they alternate."""
    counts = options.processes or processes
    return [Case(system=system, processes=count) for count in counts for system in systems]
