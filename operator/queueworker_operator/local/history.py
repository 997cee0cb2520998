"""What happened so far: the controller's reports, a series for the plot, the scale events."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from queueworker_operator.decision.model import Sample
from queueworker_operator.report import Report
from queueworker_operator.target.process import ProcessTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One moment of all queues and workers together; `at_s` counts from the start.

    `fresh` tells that the queues were read since the last point.
    """

    at_s: float
    fresh: bool = True
    backlog: float = 0.0
    oldest_s: float = 0.0
    arrivals_per_s: float = 0.0
    desired: int = 0
    ready: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleEvent:
    """One write of replicas, and why."""

    at_s: float
    name: str
    before: int
    after: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """Jobs started, and those of them started late, since the first sample."""

    started: float = 0.0
    late: float = 0.0

    @property
    def percent(self) -> float | None:
        """Give the share that started late; None where no job started: 0 % would be praise."""
        return 100.0 * self.late / self.started if self.started else None


class History:
    """A `Reporter` that keeps the last report of each QueueWorker and every scale event.

    Args:
        targets: The targets by their QueueWorkers' keys.
        clock: Seconds since the start.
        tell: Called with each scale event.
    """

    def __init__(
        self,
        targets: Mapping[str, ProcessTarget],
        clock: Callable[[], float],
        tell: Callable[[ScaleEvent], None],
    ) -> None:
        self.targets = targets
        self.reports: dict[str, Report] = {}
        self.points: list[Point] = []
        self.events: list[ScaleEvent] = []
        self._clock = clock
        self._tell = tell
        self._first: dict[str, Sample] = {}
        self._sizes: dict[str, int] = {}
        self._read_at_s = 0.0
        self._arrived: tuple[float, float] | None = None

    async def report(self, key: str, report: Report) -> None:
        """Take one tick's report."""
        self.reports[key] = report
        if report.sample is not None:
            self._first.setdefault(key, report.sample)
        if report.written is not None and report.decision is not None:
            self._note(key, report.written, report)

    def conclude(self, key: str, sample: Sample) -> None:
        """Take a sample that was read after the last report."""
        if key in self.reports:
            self.reports[key] = replace(self.reports[key], sample=sample)

    def now_s(self) -> float:
        """Give the seconds since the start."""
        return self._clock()

    def record(self) -> Point:
        """Append the present moment to the series."""
        samples = [report.sample for report in self.reports.values() if report.sample]
        read_at_s = max((sample.at_s for sample in samples), default=0.0)
        replicas = [state for target in self.targets.values() if (state := target.read())]
        point = Point(
            at_s=self._clock(),
            fresh=read_at_s != self._read_at_s,
            backlog=sum(sample.ready for sample in samples),
            oldest_s=max((sample.oldest_age_s for sample in samples), default=0.0),
            arrivals_per_s=self._arrivals_per_s(samples),
            desired=sum(state.current for state in replicas),
            ready=sum(state.ready for state in replicas),
            running=sum(target.processes() for target in self.targets.values()),
        )
        self._read_at_s = read_at_s
        self.points.append(point)
        return point

    def lateness(self) -> Lateness:
        """Give the share late so far, by the database's own histogram of waits."""
        each = [self.lateness_of(key) for key in self.reports]
        return Lateness(
            started=sum(share.started for share in each), late=sum(share.late for share in each)
        )

    def lateness_of(self, key: str) -> Lateness:
        """Give the share late of one QueueWorker."""
        now, first = self.reports[key].sample, self._first.get(key)
        if now is None or first is None:
            return Lateness()
        return Lateness(
            started=now.started_total - first.started_total, late=now.late_total - first.late_total
        )

    def waiting(self) -> tuple[int, float]:
        """Count the jobs that wait, and give the age of the oldest in seconds."""
        samples = [report.sample for report in self.reports.values() if report.sample]
        return (
            int(sum(sample.ready for sample in samples)),
            max((sample.oldest_age_s for sample in samples), default=0.0),
        )

    def finished(self) -> int:
        """Count the attempts that ended since the first sample."""
        return int(
            sum(
                report.sample.finished_total - self._first[key].finished_total
                for key, report in self.reports.items()
                if report.sample is not None
            )
        )

    def _note(self, key: str, written: int, report: Report) -> None:
        decision = report.decision
        if decision is None:
            return
        event = ScaleEvent(
            at_s=self._clock(),
            name=key.partition("/")[2],
            before=self._sizes.get(key, report.replicas.current if report.replicas else 0),
            after=written,
            reason=decision.reason.value,
            message=decision.message,
        )
        self._sizes[key] = written
        self.events.append(event)
        self._tell(event)

    def _arrivals_per_s(self, samples: Sequence[Sample]) -> float:
        """Give the rate between the last two different samples; the last one known until then."""
        if not samples:
            return 0.0
        at_s = max(sample.at_s for sample in samples)
        total = sum(sample.enqueued_total for sample in samples)
        if self._arrived is None:
            self._arrived = (at_s, total)
            return 0.0
        before_s, before = self._arrived
        if at_s - before_s < 1.0:
            return self.points[-1].arrivals_per_s if self.points else 0.0
        self._arrived = (at_s, total)
        return max(0.0, total - before) / (at_s - before_s)
