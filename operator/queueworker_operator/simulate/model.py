"""What a simulation is made of: the jobs, and the conditions under which they run."""

import math
import random
from array import array
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Jobs in the order in which they become ready, at `at_s`, each busy for `size_s`.

    `announced[i]` is 1 for a job that was scheduled beforehand; higher `priority` runs first.
    Empty means none announced, all of one priority.
    """

    at_s: "array[float]"
    size_s: "array[float]"
    lasts_s: float
    announced: bytes = b""
    priority: bytes = b""

    @property
    def work_s(self) -> float:
        """Give the slot-seconds of all jobs."""
        return math.fsum(self.size_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lognormal:
    """A lognormal time by its mean and its coefficient of variation; 0 means always the mean."""

    mean_s: float
    cv: float

    def draw(self, rng: random.Random) -> float:
        """Draw one."""
        if self.cv <= 0:
            return self.mean_s
        variance = math.log(1 + self.cv * self.cv)
        return rng.lognormvariate(math.log(self.mean_s) - variance / 2, math.sqrt(variance))


START_UPS = {
    "fast": Lognormal(mean_s=5.0, cv=0.25),
    "typical": Lognormal(mean_s=15.0, cv=0.25),
    "slow": Lognormal(mean_s=40.0, cv=0.25),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From when until when something holds."""

    from_s: float
    until_s: float

    def holds(self, at_s: float) -> bool:
        """Tell whether `at_s` lies within."""
        return self.from_s <= at_s < self.until_s


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFault:
    """Pods created meanwhile start only after its end: `share` of them, or those beyond `room`."""

    window: Window
    share: float = 1.0
    room: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckJobs:
    """Ready jobs that no worker ever claims."""

    at_s: float
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How a shared bottleneck slows all running jobs once more than `knee` slots are busy.

    `decline` 0 keeps the throughput flat beyond the knee; above 0 it falls, by the coherency term
    of the Universal Scalability Law (Gunther 1993). `share` is the part of each job that needs
    the bottleneck.
    """

    knee: float
    decline: float = 0.0
    share: float = 1.0
    window: Window = Window(from_s=0.0, until_s=math.inf)

    def speed(self, running: int, at_s: float) -> float:
        """Give the speed of each of `running` jobs, 1 when undisturbed."""
        if running <= self.knee or not self.window.holds(at_s):
            return 1.0
        over = running / self.knee
        slowdown = over * (1 + self.decline * (over - 1))
        return 1 / (1 - self.share + self.share * slowdown)

    def next_turn_s(self, at_s: float) -> float:
        """Give the next instant after `at_s` at which it begins or ends."""
        later = (s for s in (self.window.from_s, self.window.until_s) if s > at_s)
        return min(later, default=math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The cluster and the database of a run. `pods` are ready at its beginning."""

    promise_s: float = 30.0
    slots: int = 4
    start_up: Lognormal = field(default_factory=lambda: START_UPS["typical"])
    grace_s: float = 30.0
    pods: int = 0
    curve: Curve | None = None
    start_faults: tuple[StartFault, ...] = ()
    telemetry_gaps: tuple[Window, ...] = ()
    stuck: tuple[StuckJobs, ...] = ()
    seed: int = 1
