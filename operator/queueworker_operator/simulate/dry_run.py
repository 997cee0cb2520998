"""PURE: the minutes of a DryRun as a workload, and what happened in them beside what would have.

The replicas that really were are replayed through the same model, too: how far that is from what
was measured is the model's error, and the two replays differ in nothing but who decided.
"""

import random
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from queueworker_operator.decision.minutes import Minute
from queueworker_operator.decision.model import Decision, Policy
from queueworker_operator.decision.regime import SERVICE_PRIOR_S, START_UP_PRIOR_S
from queueworker_operator.decision.state import State
from queueworker_operator.resource import in_force
from queueworker_operator.simulate.dbc import Dbc, Memory
from queueworker_operator.simulate.model import Conditions, Lognormal, Workload
from queueworker_operator.simulate.policy import Seen
from queueworker_operator.simulate.reading import EPOCH_S
from queueworker_operator.simulate.result import Figures
from queueworker_operator.simulate.run import Told, simulate

LONGEST_GAP_S = 600.0
ENOUGH_FOR_A_MEAN = 20
UNKNOWN_VARIATION = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was counted: jobs started, those that had waited too long, pod-hours."""

    jobs: int
    late: float
    pod_hours: float

    @property
    def late_fraction(self) -> float:
        """Give the share of late jobs."""
        return self.late / self.jobs if self.jobs else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the last recorded decision knows: the settings compared, and the pods' start-up."""

    policy: Policy
    state: State
    decision: Decision

    @property
    def start_up(self) -> Lognormal:
        """Give the start-up time of pods as it was learned, or the prior."""
        learned = self.state.start_up
        if not learned.known or learned.mean_s <= 0:
            return Lognormal(mean_s=START_UP_PRIOR_S, cv=UNKNOWN_VARIATION)
        return Lognormal(mean_s=learned.mean_s, cv=learned.deviation_s / learned.mean_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Both sides of the time from `since_s` to `until_s`, and what they rest on."""

    since_s: float
    until_s: float
    unseen_s: float
    promise_s: float
    measured: Measured
    modelled: Figures
    ours: Figures
    jobs: int
    service: Lognormal
    start_up: Lognormal
    start_up_known: bool
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AsItWas:
    """The replicas that somebody else asked for: `changes` are (second, replicas)."""

    changes: tuple[tuple[float, int], ...]
    name: str = "as it was"
    drains: bool = False

    def begin(self, seed: int) -> None:
        """Remember nothing."""

    def step(self, memory: None, seen: Seen) -> tuple[int, None]:
        """Give what was asked for at that time."""
        place = bisect_right(self.changes, (seen.at_s - EPOCH_S, float("inf"))) - 1
        return self.changes[max(place, 0)][1], memory


@dataclass(frozen=True, slots=True, kw_only=True)
class OnSchedule:
    """Ours, with the floors that the schedule puts into force from `since_s` (epoch) on."""

    policy: Policy
    since_s: float
    name: str = "dbc"
    drains: bool = True

    def begin(self, seed: int) -> Memory:
        """Know nothing."""
        return Dbc(policy=self.policy).begin(seed)

    def step(self, memory: Memory, seen: Seen) -> tuple[int, Memory]:
        """Give the replicas that are decided for, with the floor of that time."""
        now_s = self.since_s + seen.at_s - EPOCH_S
        policy = in_force(self.policy, now_s, memory.state.start_up.estimate_s)
        return Dbc(policy=policy).step(memory, seen)


def comparable(minutes: Sequence[Minute]) -> list[Minute]:
    """Give the newest minutes that belong together: one promise, one server, no long gap."""
    first = 0
    for index, (before, after) in enumerate(pairwise(minutes), 1):
        apart = (
            after.promise_s != before.promise_s
            or after.enqueued_total < before.enqueued_total
            or after.started_total < before.started_total
            or after.until_s - before.until_s > LONGEST_GAP_S
        )
        first = index if apart else first
    return list(minutes[first:])


def compare(
    minutes: Sequence[Minute], known: Known, *, seed: int = 1, tell: Told | None = None
) -> Comparison:
    """Replay comparable minutes (two or more) with the replicas as they were, and with ours."""
    workload, service = workload_of(minutes, seed)
    changes = tuple(_changes(minutes))
    conditions = Conditions(
        promise_s=minutes[-1].promise_s,
        slots=max(known.decision.slots, 1),
        start_up=known.start_up,
        grace_s=minutes[-1].grace_s,
        pods=changes[0][1],
        seed=seed,
    )
    first, last = minutes[0], minutes[-1]
    ours = OnSchedule(policy=replace(known.policy, floor=None), since_s=first.until_s)
    lasts_s, seen_s = last.until_s - first.until_s, sum(minute.seen_s for minute in minutes[1:])
    return Comparison(
        since_s=first.until_s,
        until_s=last.until_s,
        unseen_s=max(lasts_s - seen_s, 0.0),
        promise_s=last.promise_s,
        measured=measured_of(minutes),
        modelled=simulate(workload, conditions, AsItWas(changes=changes)).figures,
        ours=simulate(workload, conditions, ours, tell).figures,
        jobs=len(workload.at_s),
        service=service,
        start_up=known.start_up,
        start_up_known=known.state.start_up.known,
        slots=conditions.slots,
    )


def measured_of(minutes: Sequence[Minute]) -> Measured:
    """Count what happened; pods of seconds that nobody saw are taken as those of the others."""
    first, last = minutes[0], minutes[-1]
    seen_s = sum(minute.seen_s for minute in minutes[1:])
    pod_s = sum(minute.pod_s for minute in minutes[1:])
    whole = (last.until_s - first.until_s) / seen_s if seen_s > 0 else 0.0
    return Measured(
        jobs=round(last.started_total - first.started_total),
        late=max(last.late_total - first.late_total, 0.0),
        pod_hours=pod_s * whole / 3600,
    )


def workload_of(minutes: Sequence[Minute], seed: int) -> tuple[Workload, Lognormal]:
    """Give the jobs: first those that waited at the beginning, then those that came."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    service = service_of(minutes[0], minutes[-1])
    started_s = minutes[0].until_s
    waiting = Lognormal(mean_s=service.mean_s, cv=service.cv)
    jobs = [(0.0, waiting.draw(rng), 0) for _ in range(round(minutes[0].ready))]
    for before, minute in pairwise(minutes):
        mean_s = service_of(before, minute, service).mean_s
        size = Lognormal(mean_s=mean_s, cv=service.cv)
        jobs += [
            (max(at_s - started_s, 0.0), size.draw(rng), mark)
            for at_s, mark in _arrivals(before, minute, rng)
        ]
    jobs.sort()
    marks = bytes(job[2] for job in jobs)
    workload = Workload(
        at_s=array("d", [job[0] for job in jobs]),
        size_s=array("d", [job[1] for job in jobs]),
        lasts_s=minutes[-1].until_s - started_s,
        announced=marks if any(marks) else b"",
    )
    return workload, service


def service_of(before: Minute, after: Minute, default: Lognormal | None = None) -> Lognormal:
    """Give the mean time of the jobs that ended in between, and its variation."""
    count = after.service_count - before.service_count
    total_s = after.service_sum_s - before.service_sum_s
    square_s2 = after.service_sq_sum_s2 - before.service_sq_sum_s2
    if count < (ENOUGH_FOR_A_MEAN if default else 1) or total_s <= 0:
        return default or Lognormal(mean_s=SERVICE_PRIOR_S, cv=1.0)
    mean_s = total_s / count
    return Lognormal(
        mean_s=mean_s, cv=max(square_s2 / count - mean_s * mean_s, 0.0) ** 0.5 / mean_s
    )


def _arrivals(before: Minute, minute: Minute, rng: random.Random) -> Iterator[tuple[float, int]]:
    """Give when each job of a minute came, 1 for an announced one.

    Jobs came within the second before a reading saw them. Those that no minute tells of (the
    operator was away) came somewhere between the two.
    """
    told = announced = 0.0
    for second, jobs, marked in minute.arrivals:
        told, announced = told + jobs, announced + marked
        for number in range(round(jobs)):
            yield minute.minute_s + second - rng.random(), int(number < marked)
    untold = minute.enqueued_total - before.enqueued_total - told
    marked = minute.announced_total - before.announced_total - announced
    for number in range(round(untold)):
        yield (
            rng.uniform(before.until_s, max(minute.minute_s, before.until_s)),
            int(number < marked),
        )


def _changes(minutes: Sequence[Minute]) -> Iterator[tuple[float, int]]:
    started_s = minutes[0].until_s
    yield 0.0, minutes[0].replicas[-1][1]
    for minute in minutes[1:]:
        for second, replicas in minute.replicas:
            yield max(minute.minute_s + second - started_s, 0.0), replicas
