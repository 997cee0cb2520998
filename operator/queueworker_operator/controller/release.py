"""Undo the drains of QueueWorkers that are left: a worker must not idle for nobody."""

import logging
from collections.abc import Collection

from queueworker_operator.controller import scale_in
from queueworker_operator.controller.ports import Ports
from queueworker_operator.controller.watch import Watch
from queueworker_operator.errors import GrantMissing

logger = logging.getLogger(__name__)


async def release(ports: Ports, watches: Collection[Watch]) -> None:
    """Undo all drains of watches that end; a worker must not idle for a controller that left.

    A drain that crosses this one stays noted. So do all that could not be undone.
    """
    undone = [(watch, watch.scale_in) for watch in watches if watch.scale_in.is_under_way]
    worker_ids = [worker_id for _, memory in undone for worker_id in memory.worker_ids()]
    if not worker_ids:
        return
    try:
        await ports.source.set_drain(worker_ids, drain=False)
    except GrantMissing as exc:
        lasts_s = ports.settings.drain_lasts_s
        logger.warning("drains end by themselves within %g s: %s", lasts_s, exc)
    for watch, memory in undone:
        if watch.scale_in is memory:
            watch.scale_in = scale_in.ScaleIn()
