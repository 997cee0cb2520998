"""What a decision is made of: values in, values out. Seconds, jobs and pods throughout."""

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """What the operator may do to the target."""

    AUTO = "Auto"
    DRY_RUN = "DryRun"
    PAUSED = "Paused"


class Objective(StrEnum):
    """How much of the promise a plan may use up."""

    BALANCED = "Balanced"
    LATENCY = "Latency"


class Saturation(StrEnum):
    """What to do when more pods finish no more jobs: stop adding them, or spend up to the most."""

    PROTECT = "Protect"
    SPEND = "Spend"


class Reason(StrEnum):
    """Why the replicas are what they are: the word in status, events, metrics and logs."""

    BACKLOG = "Backlog"
    FORECAST = "Forecast"
    STEADY = "Steady"
    SURPLUS = "Surplus"
    IDLE = "Idle"
    FIRST_JOB = "FirstJob"
    MIN_REPLICAS = "MinReplicas"
    SCHEDULE = "Schedule"
    MAX_REPLICAS = "MaxReplicas"
    MANUAL = "ManualReplicas"
    PAUSED = "Paused"
    NO_METRICS = "MetricsUnavailable"
    PODS_NOT_STARTING = "PodsNotStarting"
    SATURATED = "Saturated"
    FALLBACK = "Fallback"
    ROLLOUT = "RolloutInProgress"


class Bottleneck(StrEnum):
    """What the saturation guard knows about a bottleneck that all pods share."""

    NOT_WATCHED = "NotWatched"
    NOT_SEEN = "NotSeen"
    FALSE_ALARM = "FalseAlarm"
    IN_QUESTION = "InQuestion"
    TRYING_FEWER = "TryingFewer"
    HELD = "Held"
    TRYING_MORE = "TryingMore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """The fewest replicas once the queues could not be read for `after_s`."""

    replicas: int
    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A floor for `duration_s` from each time that `cron` names in `timezone`."""

    cron: str
    timezone: str
    min_replicas: int
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The fewest replicas at this moment; `why` names the window and its end."""

    replicas: int
    why: str

    @property
    def told(self) -> str:
        """Tell it for the status line."""
        return f"held at {self.replicas} by the {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the user promised and allows.

    `slots_per_pod` None means learned from the workers' rows; `default_slots` is what the pod
    template says (or the worker's default) until a worker has lived. `replicas` is the manual
    override, None means automatic. `late_percent` of the jobs may start later than promised, twice
    that where the promise is shorter than a start-up. Without `fallback` a reading that fails
    holds the replicas. `floor` is what the `schedule` asks for now: whoever knows the time works it
    out, a decision does not look at the schedule.
    """

    start_within_s: float = 30.0
    min_replicas: int = 0
    max_replicas: int = 10
    slots_per_pod: int | None = None
    default_slots: int = 10
    replicas: int | None = None
    mode: Mode = Mode.AUTO
    late_percent: float = 0.5
    objective: Objective = Objective.BALANCED
    saturation: Saturation = Saturation.PROTECT
    fallback: Fallback | None = None
    schedule: tuple[Window, ...] = ()
    floor: Floor | None = None

    @property
    def fewest(self) -> int:
        """Give the fewest replicas now."""
        scheduled = self.floor.replicas if self.floor else 0
        return min(max(self.min_replicas, scheduled), self.max_replicas)

    @property
    def fewest_told(self) -> str:
        """Tell where that comes from."""
        scheduled = self.floor if self.fewest > self.min_replicas else None
        return scheduled.told if scheduled else f"minReplicas is {self.min_replicas}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One reading of a QueueWorker's queues, pooled. Counters are cumulative and never fall.

    `at_s` is the database's clock (epoch seconds). `ready` counts ready jobs that no handler has
    started, claimed ones included; `unclaimable` of them are for no worker. `enqueued_total` jobs
    became ready, `announced_total` of them had been scheduled or waited for a queue's resume: no
    forecast needs them. `due_5s` are scheduled jobs falling due in the next 5-second buckets.
    `slots_per_pod` None: no live worker.
    `claimable_age_s` is that of the oldest job in the queues without unclaimable ones.
    Source: `queueworker.queue_lag`.
    """

    at_s: float
    ready: float
    oldest_age_s: float
    running: float
    enqueued_total: float
    announced_total: float
    finished_total: float
    busy_slot_seconds_total: float
    service_count: float
    service_sum_s: float
    service_sq_sum_s2: float
    started_total: float
    late_total: float
    due_5s: tuple[int, ...] = ()
    slots_per_pod: int | None = None
    workers: int = 0
    unclaimable: float = 0.0
    claimable_age_s: float = 0.0

    @property
    def claimable(self) -> float:
        """Count the ready jobs that some worker can claim."""
        return max(self.ready - self.unclaimable, 0.0)

    @property
    def unannounced_total(self) -> float:
        """Count the jobs that became ready without notice."""
        return self.enqueued_total - self.announced_total


@dataclass(frozen=True, slots=True, kw_only=True)
class PodId:
    """Which pod: names repeat in other namespaces, both in other clusters. No `uid`: not known."""

    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """The target as it is now.

    `current` is what `/scale` asks for. `ready` counts Ready pods not terminating (draining ones
    included: a drain can be undone at once). `starting_ages_s` are seconds since creation of pods
    not yet Ready. Start-up counters are cumulative since the operator started: pods that became
    Ready, the sum and the sum of squares of (Ready - created). `rollout` is True while pods of
    two templates live.
    """

    current: int
    ready: int = 0
    starting_ages_s: tuple[float, ...] = ()
    draining: int = 0
    start_up_count: int = 0
    start_up_sum_s: float = 0.0
    start_up_sq_sum_s2: float = 0.0
    rollout: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many replicas, and why. `message` is the status line, made of the numbers used.

    The remaining fields are the estimates it rests on; a status or a table shows them.
    `bottleneck_told` is what the saturation guard found and does next, empty when it holds nothing.
    """

    desired: int
    current: int
    reason: Reason
    message: str
    slots: int = 0
    service_s: float = 0.0
    start_up_s: float = 0.0
    arrival_rate_per_s: float = 0.0
    forecast_rate_per_s: float = 0.0
    slots_assumed: bool = False
    unclaimable: float = 0.0
    bottleneck: Bottleneck = Bottleneck.NOT_WATCHED
    bottleneck_told: str = ""
