"""What a loop is wired to, and what one read of its database gave."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from queueworker_operator.errors import AccessRefused, GrantMissing, LagUnavailable
from queueworker_operator.lag import LagSource, QueueLag
from queueworker_operator.metrics import Metrics
from queueworker_operator.report import Fact, Reporter
from queueworker_operator.settings import LoopSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The database, the reader of reports, the right to write, time and metrics."""

    source: LagSource
    reporter: Reporter
    may_write: Callable[[], bool]
    settings: LoopSettings
    clock: Callable[[], float]
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One read of all queues at `read_at_s` (the loop's clock), or why there is none."""

    read_at_s: float
    lags: Mapping[str, QueueLag] = field(default_factory=dict)
    trouble: LagUnavailable | None = None


def fact_of(trouble: LagUnavailable) -> Fact:
    """Name the condition's reason for what the database refused."""
    if isinstance(trouble, AccessRefused):
        return Fact.ACCESS_REFUSED
    if isinstance(trouble, GrantMissing):
        return Fact.GRANT_MISSING
    return Fact.METRICS_UNAVAILABLE
