"""What a scenario is: cases to alternate between, and how to measure one of them once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.server import Server
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A named measurement. `with_rivals` False measures the product alone."""

    name: str
    summary: str
    cases: Callable[[Sequence[System], Options], list[Case]]
    measure: Callable[[Server, Case, Options], Sample]
    repeats: int = 3
    with_rivals: bool = True
    needs_server: bool = True
    notes: Mapping[str, str] = field(default_factory=dict)


def each_system(
    systems: Sequence[System], options: Options, *, processes: tuple[int, ...] = (1,)
) -> list[Case]:
    """Give one case per count of processes and system, systems innermost so that they alternate."""
    counts = options.processes or processes
    return [Case(system=system, processes=count) for count in counts for system in systems]
