"""Once a second: promote due jobs, raise floors, rescue dead workers' jobs, learn of new lanes.

Every worker tries; the database lets one a second through for each queue.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from queueworker.errors import DatabaseError
from queueworker.hints import LaneHints
from queueworker.link import Link
from queueworker.store import QueueRow, SweptLane
from queueworker.within import within

logger = logging.getLogger(__name__)

EVERY_S = 1.0
# A sweep may be long, after a failure of many workers; but a dead connection is seldom noticed
# otherwise, and results wait behind it. So the long time is given only after the short one.
SWEEP_TIMEOUT_S, LONG_SWEEP_TIMEOUT_S = 5.0, 30.0
MAINTAIN_EVERY_S = 60.0
UPKEEP = ""  # among the names of queues
FULL_BATCH = 5000


class Swept(Protocol):
    """A queue that a worker serves."""

    queue: QueueRow
    hints: LaneHints

    def learned(self, queue: QueueRow) -> None:
        """Take the queue's row as it is now."""

    def swept(self, rows: Sequence[SweptLane], now_s: float) -> bool:
        """Take the findings; give whether there is something to claim."""


class Sweeper:
    """Sweeps a worker's queues; `found` is called with one that has something to claim."""

    def __init__(
        self,
        link: Link,
        queues: Sequence[Swept],
        tasks: Collection[str],
        found: Callable[[str], None],
    ) -> None:
        self._link = link
        self._queues = queues
        self._tasks = tasks
        self._found = found
        self._asked = asyncio.Event()
        self._failing: set[str] = set()
        self._maintain_at_s = 0.0

    def ask(self, queue: str | None = None) -> None:
        """Sweep now: a lane is new, or a queue was paused, resumed or moved."""
        if queue is not None:
            # Claims found nothing in a pause that may be over before it is learned.
            self._found(queue)
        self._asked.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        failures = 0
        while True:
            try:
                failure = await self.sweep()
                await self._maintain(time.monotonic())
                if failure is not None:
                    raise failure
                failures = 0
            except DatabaseError as exc:
                await self._link.pause(failures, exc)
                failures += 1
                continue
            await self._wait()

    async def sweep(self) -> DatabaseError | None:
        """Sweep all queues once; where a burst is due, go on for a second.

        Gives the last failure: the queues beside it were swept.
        """
        bursts, failure = [], None
        for queue in self._queues:
            try:
                if await self._sweep_one(queue):
                    bursts.append(queue)
                self._failing.discard(queue.queue.name)
            except DatabaseError as exc:
                self._tell(queue.queue.name, exc)
                failure = exc
        end_s = time.monotonic() + EVERY_S
        while bursts and time.monotonic() < end_s:
            bursts = [queue for queue in bursts if await self._promote(queue)]
        return failure

    def _timeout_s(self, name: str) -> float:
        return LONG_SWEEP_TIMEOUT_S if name in self._failing else SWEEP_TIMEOUT_S

    def _tell(self, queue: str, exc: DatabaseError) -> None:
        if queue not in self._failing:
            logger.warning("queue %s could not be swept: %s; trying again", queue, exc)
        self._failing.add(queue)

    async def _sweep_one(self, queue: Swept) -> bool:
        """Sweep a queue; give whether a burst is due."""
        await self._learn(queue)
        rows = await self._link.call(
            lambda store: store.sweep(queue.queue.id, queue.hints.ids),
            self._timeout_s(queue.queue.name),
        )
        if queue.swept(rows, time.monotonic()):
            self._found(queue.queue.name)
        return any(row.promoted >= FULL_BATCH for row in rows)

    async def _promote(self, queue: Swept) -> bool:
        """Promote one batch of a burst, which is claimable at once; give whether there is more."""
        count = await self._link.call(lambda store: store.promote_more(queue.queue.id))
        if count:
            self._found(queue.queue.name)
        return count >= FULL_BATCH

    async def _learn(self, queue: Swept) -> None:
        name = queue.queue.name
        queue.learned(await self._link.call(lambda store: store.queue(name)))
        if queue.queue.tail is not None:
            # A move whose command has gone is brought to its end.
            await self._link.call(lambda store: store.queue_move_some(name), self._timeout_s(name))
        lanes = await self._link.call(lambda store: store.lanes(queue.queue.id, self._tasks))
        if queue.hints.learn(lanes):
            self._found(name)

    async def _maintain(self, now_s: float) -> None:
        """Do the database's upkeep once a minute; one of all workers does it."""
        if now_s < self._maintain_at_s:
            return
        self._maintain_at_s = now_s + MAINTAIN_EVERY_S
        timeout_s = self._timeout_s(UPKEEP)
        self._failing.add(UPKEEP)
        upkeep = await self._link.call(lambda store: store.maintain(), timeout_s)
        self._failing.discard(UPKEEP)
        if upkeep is not None and upkeep.has_more:
            self._maintain_at_s = now_s

    async def _wait(self) -> None:
        longest_s = EVERY_S * random.uniform(0.9, 1.1)  # noqa: S311 - jitter
        if await within(longest_s, self._asked.wait()):
            self._asked.clear()
