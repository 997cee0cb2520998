"""What the controller remembers between observations: a value, JSON-safe, exact both ways."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from queueworker_operator.decision.codec import InvalidRecord, Record, decode, encode
from queueworker_operator.decision.model import Sample
from queueworker_operator.decision.recurrence import Returns, Rhythm, Season
from queueworker_operator.decision.regime import (
    SERVICE_PRIOR_S,
    START_UP_PRIOR_S,
    START_UPS_NEEDED,
)

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Jobs made ready without notice. `ticks` are jobs per 5 s, newest last, 5 minutes of them.

    `dispersion` is their variance over their mean (1 = Poisson), `slope_per_s2` the trend.
    """

    rate_per_s: float = 0.0
    ticks: tuple[float, ...] = ()
    dispersion: float = 1.0
    slope_per_s2: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How long a job holds its slot.

    `recent_*` forget with two minutes, `slow_s` with about 500 jobs. `busy_for_s` is how long
    slots have been busy without a pause: no running job is known to be older.
    """

    estimate_s: float = SERVICE_PRIOR_S
    slow_s: float = SERVICE_PRIOR_S
    finished: float = 0.0
    recent_finished: float = 0.0
    recent_busy_s: float = 0.0
    mean_s: float = 0.0
    variance_s2: float = 0.0
    busy_for_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUp:
    """Seconds from a pod's creation to Ready; `seen_*` are the counters as last read."""

    count: float = 0.0
    mean_s: float = 0.0
    variance_s2: float = 0.0
    last_ready_at_s: float | None = None
    seen_count: int = 0
    seen_sum_s: float = 0.0
    seen_sq_sum_s2: float = 0.0

    @property
    def known(self) -> bool:
        """Tell whether enough start-ups were seen to trust their mean."""
        return self.count >= START_UPS_NEEDED

    @property
    def deviation_s(self) -> float:
        """Give the standard deviation."""
        return float(self.variance_s2**0.5)

    @property
    def estimate_s(self) -> float:
        """Give the start-up time to plan with: mean plus one deviation, or the prior."""
        return self.mean_s + self.deviation_s if self.known else START_UP_PRIOR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Ready jobs that nobody claims though slots are idle; `recent` backlogs of that time."""

    recent: tuple[float, ...] = ()
    jobs: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """The last 64 pauses without any work, and when there last was some."""

    gaps_s: tuple[float, ...] = ()
    pausing: bool = False
    active_at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Jobs finished and seconds that slots were busy, in so many seconds."""

    finished: float = 0.0
    busy_s: float = 0.0
    seconds: float = 0.0

    @property
    def busy(self) -> float:
        """Give the mean number of busy slots."""
        return self.busy_s / self.seconds if self.seconds > 0 else 0.0

    @property
    def rate_per_s(self) -> float:
        """Give the jobs finished per second."""
        return self.finished / self.seconds if self.seconds > 0 else 0.0

    @property
    def service_s(self) -> float:
        """Give the busy seconds for each job."""
        return self.busy_s / self.finished if self.finished > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What shows whether pods help: `ticks` in a row, newest last, in which all slots were full.

    Each is (finished, busy_s, seconds); older ones are added up. `fastest_s` is the shortest mean
    service time of a `block` of ticks, 0 when there was none; `dispersion` that of completions.
    """

    ticks: tuple[tuple[float, float, float], ...] = ()
    block: Tally = Tally()
    fastest_s: float = 0.0
    dispersion: float = 1.0

    @property
    def series(self) -> tuple[Tally, ...]:
        """Give the ticks."""
        return tuple(
            Tally(finished=finished, busy_s=busy_s, seconds=seconds)
            for finished, busy_s, seconds in self.ticks
        )


class GuardMode(StrEnum):
    """What the saturation guard is at: watching, testing fewer pods, resting, testing more."""

    FREE = "Free"
    DOWN = "Down"
    HOLD = "Hold"
    UP = "Up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The most pods that help (`cap`, 0 for no bound) and how that is being tested.

    `base` was measured with the cap `before`, `from_pods` were in use at the alarm. `first` is
    the first step down, `settled_s` the instant from which it is measured. `failed` and `streak`
    count tries of more pods, `alarms` false ones in a row.
    """

    mode: GuardMode = GuardMode.FREE
    cap: int = 0
    before: int = 0
    from_pods: int = 0
    base: Tally = Tally()
    since_s: float = 0.0
    settled_s: float | None = None
    first: bool = False
    wait_s: float = 60.0
    streak: int = 0
    failed: int = 0
    alarms: int = 0
    silent_until_s: float = 0.0
    bound_at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that is learned. `State()` knows nothing.

    `wanted` are (time, replicas wanted) of the last 20 minutes, falling: what a scale-in waits
    for. `slots` is the last number seen in a worker's row, 0 when none was. `wish` is what the
    last decision asked for before the guard's cap; `waited` whether jobs waited at the last sample.
    """

    last: Sample | None = None
    observations: int = 0
    arrivals: Arrivals = Arrivals()
    service: Service = Service()
    start_up: StartUp = StartUp()
    lateness: float = 0.0
    tight: bool = False
    stuck: Stuck = Stuck()
    idle: Idle = Idle()
    returns: Returns = field(default_factory=Returns)
    rhythm: Rhythm = field(default_factory=Rhythm)
    season: Season = field(default_factory=Season)
    slots: int = 0
    wanted: tuple[tuple[float, float], ...] = ()
    stalled_since_s: float | None = None
    wish: int = 0
    waited: bool = False
    evidence: Evidence = Evidence()
    guard: Guard = Guard()


def to_record(state: State) -> Record:
    """Give `state` as a JSON-safe object."""
    return {"version": VERSION, **encode(state)}


def from_record(record: Mapping[str, Any]) -> State:
    """Read a state back, bit for bit.

    Raises:
        InvalidRecord: another version wrote it, or it is damaged.
    """
    fields = dict(record)
    version = fields.pop("version", None)
    if version != VERSION:
        raise InvalidRecord(f"the state has version {version!r}, this program reads {VERSION}")
    return decode(State, fields)
