"""Keep what a QueueWorker in DryRun sees, a row a minute: the inputs of `compare`."""

import logging

from queueworker_operator.controller.ports import Ports
from queueworker_operator.controller.record import Verdict
from queueworker_operator.controller.watch import Watch
from queueworker_operator.decision.codec import encode
from queueworker_operator.decision.minutes import Glimpse, follow
from queueworker_operator.decision.model import Mode
from queueworker_operator.errors import LagUnavailable

logger = logging.getLogger(__name__)


async def keep_minutes(ports: Ports, watch: Watch, verdict: Verdict) -> None:
    """Add a tick of a DryRun, and store each minute when it is over."""
    if verdict.policy.mode is not Mode.DRY_RUN:
        watch.dry_run = None
        return
    if verdict.sample is None:
        return  # the counters of the next sample tell what came meanwhile
    glimpse = Glimpse(
        clock_s=ports.clock(),
        sample=verdict.sample,
        replicas=verdict.replicas,
        desired=verdict.decision.desired,
        promise_s=verdict.policy.start_within_s,
        grace_s=watch.assignment.target.grace_s(),
    )
    watch.dry_run, minute = follow(watch.dry_run, glimpse)
    if minute is None:
        return
    key = watch.assignment.key
    try:
        await ports.source.record_minute(key, minute.minute_s, encode(minute))
    except LagUnavailable as exc:
        logger.warning("%s: a minute of the dry run is lost: %s", key, exc)
