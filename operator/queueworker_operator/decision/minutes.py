"""What happened to a queue and its target, minute by minute: the inputs of a comparison."""

from dataclasses import dataclass, replace

from queueworker_operator.decision.model import Replicas, Sample

LASTS_S = 60.0
LONGEST_HELD_S = 60.0
"""What was seen is taken to hold no longer than this: beyond it nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """One tick: `clock_s` is monotonic, `desired` what would have been asked for."""

    clock_s: float
    sample: Sample
    replicas: Replicas
    desired: int
    promise_s: float
    grace_s: float

    @property
    def pods(self) -> int:
        """Count the pods that are there; those that finish after a SIGTERM are not known."""
        return self.replicas.ready + len(self.replicas.starting_ages_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """One minute of the database's clock from `minute_s` on, last seen at `until_s`.

    Counters are cumulative, as at `until_s`: what came between two minutes that are kept is known
    also when the operator was away. `arrivals` are (second, jobs, announced ones of them) and
    `replicas` (second, replicas asked for) of each change, in seconds of the minute. `pod_s` and
    `desired_s` are pod-seconds of the `seen_s` seconds that were looked at.
    """

    minute_s: float
    until_s: float
    promise_s: float
    grace_s: float
    ready: float
    enqueued_total: float
    announced_total: float
    started_total: float
    late_total: float
    service_count: float
    service_sum_s: float
    service_sq_sum_s2: float
    seen_s: float = 0.0
    pod_s: float = 0.0
    desired_s: float = 0.0
    arrivals: tuple[tuple[float, float, float], ...] = ()
    replicas: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """The minute under way, and the last glimpse of it."""

    minute: Minute
    last: Glimpse


def follow(before: Following | None, glimpse: Glimpse) -> tuple[Following, Minute | None]:
    """Take a glimpse; give the minute that it ended, if it did.

    After a clock or a counter that went back (another server) all begins anew.
    """
    if before is None or _went_back(before.last.sample, glimpse.sample):
        return Following(minute=_begin(glimpse), last=glimpse), None
    minute, finished = before.minute, None
    if glimpse.sample.at_s >= minute.minute_s + LASTS_S:
        minute, finished = _begin(glimpse), minute
    return Following(minute=_add(minute, before.last, glimpse), last=glimpse), finished


def _went_back(before: Sample, after: Sample) -> bool:
    return (
        after.at_s < before.at_s
        or after.enqueued_total < before.enqueued_total
        or after.started_total < before.started_total
    )


def _begin(glimpse: Glimpse) -> Minute:
    sample = glimpse.sample
    minute_s = sample.at_s // LASTS_S * LASTS_S
    empty = Minute(
        minute_s=minute_s,
        until_s=sample.at_s,
        promise_s=glimpse.promise_s,
        grace_s=glimpse.grace_s,
        ready=0,
        enqueued_total=0,
        announced_total=0,
        started_total=0,
        late_total=0,
        service_count=0,
        service_sum_s=0,
        service_sq_sum_s2=0,
        replicas=((_second(sample, minute_s), glimpse.replicas.current),),
    )
    return _counted(empty, glimpse)


def _counted(minute: Minute, glimpse: Glimpse) -> Minute:
    sample = glimpse.sample
    return replace(
        minute,
        until_s=sample.at_s,
        promise_s=glimpse.promise_s,
        grace_s=glimpse.grace_s,
        ready=sample.ready,
        enqueued_total=sample.enqueued_total,
        announced_total=sample.announced_total,
        started_total=sample.started_total,
        late_total=sample.late_total,
        service_count=sample.service_count,
        service_sum_s=sample.service_sum_s,
        service_sq_sum_s2=sample.service_sq_sum_s2,
    )


def _add(minute: Minute, last: Glimpse, glimpse: Glimpse) -> Minute:
    """Add what happened since `last`; the pods of then are taken to have lived until now."""
    held_s = min(max(glimpse.clock_s - last.clock_s, 0.0), LONGEST_HELD_S)
    second = _second(glimpse.sample, minute.minute_s)
    jobs = glimpse.sample.enqueued_total - last.sample.enqueued_total
    announced = glimpse.sample.announced_total - last.sample.announced_total
    came = ((second, jobs, announced),) if jobs > 0 else ()
    current = glimpse.replicas.current
    changed = ((second, current),) if minute.replicas[-1][1] != current else ()
    return replace(
        _counted(minute, glimpse),
        seen_s=minute.seen_s + held_s,
        pod_s=minute.pod_s + last.pods * held_s,
        desired_s=minute.desired_s + last.desired * held_s,
        arrivals=(*minute.arrivals, *came),
        replicas=(*minute.replicas, *changed),
    )


def _second(sample: Sample, minute_s: float) -> float:
    return round(sample.at_s - minute_s, 1)
