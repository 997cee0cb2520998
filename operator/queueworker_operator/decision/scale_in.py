"""Which pods go when fewer are wanted: those that lose the least."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLoad:
    """What one pod's worker holds: `busy` jobs run, `held` ones are claimed and not started."""

    pod: str
    worker_id: str
    busy: int
    held: int
    draining: bool
    age_s: float
    oldest_start_age_s: float | None = None

    @property
    def jobs(self) -> int:
        """Count the jobs it would have to finish or give back."""
        return self.busy + self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A pod to remove and all its workers; none when no worker of it has registered."""

    pod: str
    worker_ids: tuple[str, ...] = ()


def choose(workers: Sequence[PodLoad], pods: Collection[str], count: int) -> tuple[Victim, ...]:
    """Choose `count` of `pods`: not registered, draining already, idle, least busy, newest.

    A pod with several workers counts with the sum of their jobs, and each of them has to drain.
    """
    loads = {pod: [load for load in workers if load.pod == pod] for pod in pods}
    order = sorted(pods, key=lambda pod: (_cost(loads[pod]), pod))
    return tuple(Victim(pod=pod, worker_ids=_ids(loads[pod])) for pod in order[: max(count, 0)])


def _cost(loads: Sequence[PodLoad]) -> tuple[bool, bool, int, int, float]:
    """Order pods by what their end would cost; at equal load the newest goes."""
    youngest_s = min((load.age_s for load in loads), default=0.0)
    return (
        bool(loads),
        not (loads and all(load.draining for load in loads)),
        sum(load.jobs for load in loads),
        sum(load.busy for load in loads),
        youngest_s,
    )


def _ids(loads: Sequence[PodLoad]) -> tuple[str, ...]:
    return tuple(sorted(load.worker_id for load in loads))


def finished(victims: Collection[Victim], workers: Collection[PodLoad]) -> tuple[str, ...]:
    """Name the victims' pods that hold no job: no worker row, or a draining one that is empty."""
    working = {load.pod for load in workers if load.jobs > 0 or not load.draining}
    return tuple(victim.pod for victim in victims if victim.pod not in working)
