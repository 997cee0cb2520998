"""The fewest pods that start every job in time: the capacity side, and the search.

Sources: the deadline test compares cumulative curves on the fluid queue (Newell, Applications of
Queueing Theory, 1982). The tail of the wait is Erlang's C formula (1917) with the variability
correction of Allen and Cunneen (Allen, Probability, Statistics and Queueing Theory, 1978).
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from queueworker_operator.decision.demand import Demand

_TOLERANCE_JOBS = 1e-6
_NEGLIGIBLE = 1e-15
_SHORTEST_DEADLINE_S = 0.5
_STEP_S = 2.5
_STEPS = 60
_LONGEST_WAIT_S = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What pods can start. Pods come in this order: ready, starting (soonest first), new.

    `starting_s` are the seconds until each starting pod is ready, ascending; `lead_s` is that of
    a new one. With `long` jobs a free slot also counts as the one job it starts at once.
    """

    slots: int
    service_s: float
    ready: int
    running: float
    starting_s: tuple[float, ...]
    lead_s: float
    long: bool = False
    sums_s: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sums_s", (0.0, *accumulate(self.starting_s)))

    @property
    def pods(self) -> int:
        """Count the pods that are ready or on their way."""
        return self.ready + len(self.starting_s)

    def jobs_by(self, time_s: float, pods: int) -> float:
        """Count the jobs that `pods` pods start within `time_s` when they never lack any."""
        finished, slots = self.finished_by(time_s, pods)
        if self.long:
            ready = min(pods, self.ready) * self.slots
            return finished + max(ready - self.running, 0.0) + slots - ready
        return finished

    def finished_by(self, time_s: float, pods: int) -> tuple[float, float]:
        """Count the jobs that pods with full slots finish within `time_s`, and their slots then."""
        ready = min(pods, self.ready)
        begun = bisect_right(self.starting_s, time_s, 0, min(pods - ready, len(self.starting_s)))
        pod_s = (ready + begun) * time_s - self.sums_s[begun]
        new = pods - self.pods
        if new > 0 and time_s >= self.lead_s:
            pod_s += new * (time_s - self.lead_s)
            begun += new
        return pod_s * self.slots / self.service_s, float((ready + begun) * self.slots)

    def time_for(self, jobs: float, pods: int) -> float:
        """Give the seconds until `pods` pods have started `jobs` jobs; infinite beyond a day."""
        ticks = range(_LONGEST_WAIT_S * 10)
        tick = bisect_left(ticks, jobs, key=lambda tick: self.jobs_by(tick / 10, pods))
        return tick / 10 if tick < len(ticks) else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """`jobs` must have started within `time_s`, and `missing` of them will not have."""

    time_s: float
    jobs: float
    missing: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineTest:
    """Whether a number of pods starts every job by its deadline, from `first_s` to `last_s`."""

    capacity: Capacity
    demand: Demand
    first_s: float
    last_s: float
    points: tuple[tuple[float, float, float], ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.demand.most_by(self.last_s) <= _TOLERANCE_JOBS:
            object.__setattr__(self, "points", ())  # no deadline can be missed
            return
        step_s = max(_STEP_S, self.last_s / _STEPS)
        indexes = range(
            1 - math.ceil(self.first_s / step_s), 1 + int((self.last_s - self.first_s) / step_s)
        )
        deadline_s = self.demand.deadline_s
        times_s = {self.first_s + index * step_s for index in indexes}
        times_s.add(min(deadline_s, self.last_s))
        for due_s in self.demand.announced.instants_s(self.last_s):
            times_s |= {due_s, min(due_s + deadline_s, self.last_s)}
        points = tuple(
            (time_s, self.demand.due_by(time_s), self.demand.claimable_by(time_s))
            for time_s in sorted(times_s)
        )
        object.__setattr__(self, "points", points)

    def started(self, pods: int) -> Iterator[tuple[float, float, float]]:
        """Give (seconds from now, jobs that must have started by then, those that would have)."""
        if self.demand.announced.by(self.last_s) > 0:
            yield from self._started_of_claimable(pods)
            return
        for time_s, due, _ in self.points:
            yield time_s, due, self.capacity.jobs_by(time_s, pods)

    def _started_of_claimable(self, pods: int) -> Iterator[tuple[float, float, float]]:
        """Start no job before it falls due: capacity until then is lost, but idle slots are free.

        As many have started as have finished and as there are slots; those that run finish in
        proportion to their number.
        """
        capacity = self.capacity
        earlier_s, earlier = 0.0, 0.0
        finished = -capacity.running
        slots = capacity.finished_by(0.0, pods)[1]
        started = max(min(self.demand.backlog, finished + slots), 0.0)
        for time_s, due, claimable in self.points:
            full, slots = capacity.finished_by(time_s, pods)
            left = math.exp(-max(time_s - earlier_s, 0.0) / capacity.service_s)
            ended = max(started - (started - finished) * left, claimable - slots)
            finished = min(finished + full - earlier, ended)
            started = max(started, min(claimable, finished + slots))
            earlier_s, earlier = time_s, full
            yield time_s, due, started

    def shortages(self, pods: int) -> Iterator[Shortage]:
        """Give each deadline that `pods` pods miss."""
        for time_s, due, started in self.started(pods):
            if time_s >= self.first_s and due - started > _TOLERANCE_JOBS:
                yield Shortage(time_s=time_s, jobs=due, missing=due - started)

    def passes(self, pods: int) -> bool:
        """Tell whether no deadline is missed."""
        return next(self.shortages(pods), None) is None

    def worst(self, pods: int) -> Shortage | None:
        """Give the deadline that the most jobs miss."""
        return max(self.shortages(pods), key=lambda shortage: shortage.missing, default=None)


def smallest(low: int, high: int, enough: Callable[[int], bool]) -> int:
    """Give the smallest number in low..high that is enough, or the larger bound if none is.

    `enough` must stay true once it is: doubling steps, then bisection.
    """
    if low >= high or enough(low):
        return low
    failed, step = low, 1
    while failed + step < high and not enough(failed + step):
        failed, step = failed + step, step * 2
    passed = min(failed + step, high)
    while passed - failed > 1:
        middle = (passed + failed) // 2
        if enough(middle):
            passed = middle
        else:
            failed = middle
    return passed


def erlang_c(servers: int, load: float) -> float:
    """Give the chance to wait with `servers` slots under `load` slots' worth of work.

    The inverse of Erlang's B is a sum that falls off quickly: no loop over all servers.
    """
    if load <= 0:
        return 0.0
    if load >= servers:
        return 1.0
    inverse = term = 1.0
    for busy in range(servers, 0, -1):
        term *= busy / load
        inverse += term
        if term < _NEGLIGIBLE * inverse or inverse > 1 / _NEGLIGIBLE:
            break
    blocked, utilisation = 1 / inverse, load / servers
    return blocked / (1 - utilisation + utilisation * blocked)


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyLoad:
    """A stream that never stops. `variability` is (Ca^2 + Cs^2) / 2, 1 for Poisson and exponential."""

    rate_per_s: float
    service_s: float
    slots: int
    variability: float

    def late_share(self, pods: int, deadline_s: float) -> float:
        """Give the share of jobs that wait longer than the deadline."""
        servers, load = pods * self.slots, self.rate_per_s * self.service_s
        if load <= 0:
            return 0.0
        if load >= servers:
            return 1.0
        spare_per_s = servers / self.service_s - self.rate_per_s
        decay = spare_per_s * max(deadline_s, _SHORTEST_DEADLINE_S) / self.variability
        return erlang_c(servers, load) * math.exp(-decay)

    def pods(self, *, load_limit: float, tail: float, deadline_s: float, most: int) -> int:
        """Give the fewest pods for this stream; `tail` 1 asks for no more than `load_limit`."""
        load = self.rate_per_s * self.service_s / self.slots / load_limit
        low = max(math.ceil(min(load, most) - 1e-9), 0)
        if tail >= 1:
            return low
        return smallest(low, most, lambda pods: self.late_share(pods, deadline_s) <= tail)
