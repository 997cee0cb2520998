"""Log which jobs wait because no live worker knows their task: a typing error is seen nowhere else."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence

from queueworker.errors import DatabaseError
from queueworker.link import Link
from queueworker.store import LagRow
from queueworker.unknown import unknown_tasks
from queueworker.within import within

logger = logging.getLogger(__name__)

EVERY_S = 30.0
# After a new task's first job: its workers may be starting, too.
SETTLE_S = 1.0
TELL_AGAIN_AFTER_S = 3600.0
MOST_AT_ONCE = 5


class UnknownWatch:
    """Looks when a task is new in a queue, and now and then; tells once of each, and each hour."""

    def __init__(self, link: Link, queues: Sequence[str]) -> None:
        self._link = link
        self._queues = queues
        self._asked = asyncio.Event()
        self._told_at_s: dict[tuple[str, str], float] = {}

    def ask(self) -> None:
        """Look soon."""
        self._asked.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        while True:
            await self._wait()
            try:
                rows = await self._link.call(lambda store: store.lag(self._queues))
                failures = 0
            except DatabaseError as exc:
                await self._link.pause(failures, exc)
                failures += 1
                continue
            self._tell(rows, time.monotonic())

    def _tell(self, rows: Sequence[LagRow], now_s: float) -> None:
        recent = {
            k: at_s for k, at_s in self._told_at_s.items() if now_s - at_s < TELL_AGAIN_AFTER_S
        }
        told = {
            (row.queue, task): text for row in rows for task, text in unknown_tasks(row).items()
        }
        new = [key for key in told if key not in recent][:MOST_AT_ONCE]
        self._told_at_s = {**recent, **dict.fromkeys(new, now_s)}
        for queue, task in new:
            logger.warning(
                "%s; deploy a worker that has it, or: queueworker job cancel --queue %s --task %r",
                told[queue, task],
                queue,
                task,
            )

    async def _wait(self) -> None:
        longest_s = EVERY_S * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        if await within(longest_s, self._asked.wait()):
            await asyncio.sleep(SETTLE_S)
            self._asked.clear()
