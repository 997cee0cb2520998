"""Keep each decision's record; what is decided while the database is away is written when it is back."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from queueworker_operator.controller.ports import Ports
from queueworker_operator.controller.record import Verdict, to_json
from queueworker_operator.controller.watch import Watch
from queueworker_operator.errors import GrantMissing, LagUnavailable

logger = logging.getLogger(__name__)

MOST_UNWRITTEN = 20


async def keep(ports: Ports, watch: Watch, verdict: Verdict, asked: int | None) -> bool:
    """Record a verdict; `asked` is what the target is asked for, None for nothing.

    Tells whether the target may be written: what was decided from the database's data must be
    recorded there first, what was decided without them is recorded when it is back.
    """
    record, is_blind = to_json(verdict, asked), verdict.sample is None
    if not is_blind and await _written(ports, watch, record):
        return True
    if is_blind or asked is None:
        _postpone(ports, watch, record)
    return is_blind


async def catch_up(ports: Ports, watch: Watch) -> None:
    """Write what could not be written, oldest first; called when the database has answered."""
    pending, now_s = watch.unwritten, ports.clock()
    if not pending:
        return
    late = [{**record, "decided_ago_s": max(now_s - at_s, 0.0)} for at_s, record in pending]
    written = await asyncio.gather(*(_written(ports, watch, record) for record in late))
    kept = zip(pending, written, strict=True)
    watch.unwritten = tuple(entry for entry, is_written in kept if not is_written)


async def _written(ports: Ports, watch: Watch, record: Mapping[str, Any]) -> bool:
    """Write a record; one that may not be written is as good as written: no later try helps."""
    key = watch.assignment.key
    try:
        await ports.source.record_decision(key, record)
    except GrantMissing as exc:
        logger.warning("%s: a decision is not recorded: %s", key, exc)
    except LagUnavailable as exc:
        logger.warning("%s: a decision is not recorded yet: %s", key, exc)
        return False
    return True


def _postpone(ports: Ports, watch: Watch, record: Mapping[str, Any]) -> None:
    watch.unwritten = (*watch.unwritten, (ports.clock(), record))[-MOST_UNWRITTEN:]
