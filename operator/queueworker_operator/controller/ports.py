"""What a loop is wired to, and what one read of its database gave."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from queueworker_operator.controller.history import History
from queueworker_operator.errors import AccessRefused, GrantMissing, LagUnavailable
from queueworker_operator.lag import Lags, LagSource
from queueworker_operator.metrics import Metrics
from queueworker_operator.report import Fact, Reporter
from queueworker_operator.settings import LoopSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The database, the history in it, the reader of reports, the right to write, time and metrics.

    `clock` gives monotonic seconds, `wall_clock` those since the epoch.
    """

    source: LagSource
    history: History
    reporter: Reporter
    may_write: Callable[[], bool]
    settings: LoopSettings
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One read of `queues` at `read_at_s` (the loop's clock), or why there is none."""

    read_at_s: float
    queues: frozenset[str] = frozenset()
    lags: Lags = field(default_factory=Lags)
    trouble: LagUnavailable | None = None


def fact_of(trouble: LagUnavailable) -> Fact:
    """Name the condition's reason for what the database refused."""
    if isinstance(trouble, AccessRefused):
        return Fact.ACCESS_REFUSED
    if isinstance(trouble, GrantMissing):
        return Fact.GRANT_MISSING
    return Fact.METRICS_UNAVAILABLE


async def attempt(what: str, work: Awaitable[None]) -> None:
    """Do something whose failure is told and ends nothing."""
    try:
        await work
    except LagUnavailable as exc:
        logger.warning("could not %s: %s", what, exc)
    except Exception:
        logger.exception("could not %s", what)
