"""From a reading to the sample of one QueueWorker; and when an estimator may fold it."""

from dataclasses import dataclass, field

from queueworker_operator.controller.ports import Reading, fact_of
from queueworker_operator.controller.watch import Watch
from queueworker_operator.decision.model import Sample
from queueworker_operator.decision.regime import OBSERVE_EVERY_S
from queueworker_operator.lag import QueueLag
from queueworker_operator.lag.sample import empty, pool
from queueworker_operator.report import Fact
from queueworker_operator.text import counted

# Reads are a second apart: half of one decides which is nearest to the 5 s.
OBSERVE_TOLERANCE_S = 0.5
# A queue gets its row from its first worker or job: a new one is no outage for so long.
FIRST_ROW_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """The sample, the rows it was pooled from, and what a person should know about them."""

    sample: Sample | None = None
    lags: tuple[QueueLag, ...] = ()
    facts: dict[Fact, str] = field(default_factory=dict)


def sampled(watch: Watch, reading: Reading, replicas: int) -> Sampled:
    """Pool the queues of `watch`.

    A queue without a row has no job and no worker. That is believed only while another queue has
    a row or no replica runs: workers make the rows of their queues, so with replicas and without
    any row this is another database than theirs, and nothing is known.
    """
    if reading.trouble is not None:
        return Sampled(facts={fact_of(reading.trouble): str(reading.trouble)})
    queues = watch.assignment.queues
    known, refused = reading.lags.rows, reading.lags.refused
    for queue in queues:
        if queue in refused:
            return Sampled(facts={fact_of(refused[queue]): str(refused[queue])})
    lags = tuple(reading.lags.of(queue) for queue in queues if queue in known)
    facts = missing_fact(tuple(queue for queue in queues if queue not in known))
    if lags:
        watch.row_due_at_s = float("-inf")
        watch.unknown = watch.unknown.refresh(lags)
        watch.pauses = watch.pauses.refresh(lags)
        promise_s = watch.assignment.policy.start_within_s
        watch.late = watch.late.refresh(lags, promise_s)
        sample = pool(lags, promise_s, watch.unknown, watch.pauses)
        return Sampled(sample=sample, lags=lags, facts=facts)
    if replicas:
        held = counted(replicas, "replica is", "replicas are")
        text = f"{facts[Fact.QUEUE_MISSING]}; the {held} held until it has"
        if watch.row_due_at_s is None:
            watch.row_due_at_s = reading.read_at_s + FIRST_ROW_WITHIN_S
        is_new = reading.read_at_s < watch.row_due_at_s
        return Sampled(facts={Fact.WAITING if is_new else Fact.METRICS_UNAVAILABLE: text})
    watch.row_due_at_s = None
    return Sampled(sample=empty(watch.observed_at_s or 0.0), facts=facts)


def missing_fact(queues: tuple[str, ...]) -> dict[Fact, str]:
    """Tell about queues that the database does not know."""
    if not queues:
        return {}
    names = ", ".join(queues)
    text = f"no job was ever enqueued into {names} and no worker serves it: check spec.queues"
    return {Fact.QUEUE_MISSING: text}


def is_due(sample: Sample, observed_at_s: float | None) -> bool:
    """Tell whether the estimators fold this sample: each 5 s of the database's clock.

    A clock that went back (another server) is followed at once.
    """
    if observed_at_s is None or sample.at_s < observed_at_s:
        return True
    return sample.at_s - observed_at_s >= OBSERVE_EVERY_S - OBSERVE_TOLERANCE_S
