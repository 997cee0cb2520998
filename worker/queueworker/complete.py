"""Write what jobs came to: batched, fenced, retried until the database answers.

A batch is written when it is large or a few milliseconds old, while further jobs run. A write
whose answer was lost is repeated: the tokens make that harmless.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count

from queueworker.job import Transition, TransitionKind
from queueworker.link import Link
from queueworker.metrics import REFUSED
from queueworker.store import QueueRow, StatDelta, Store, wait_bucket

logger = logging.getLogger(__name__)

MOST_A_BATCH = 500
DELAY_S = 0.003
REPORT_EVERY_S = 1.0
WRITE_TIMEOUT_S = 8.0


class Tally:
    """What only the worker knows of one queue: starts, waits, busy time, service times."""

    def __init__(self) -> None:
        self._started = 0
        self._busy = 0
        self._busy_s = 0.0
        self._seen_s = 0.0
        self._service = (0, 0.0, 0.0)
        self._waits: dict[int, int] = {}

    def started(self, now_s: float, wait_s: float) -> None:
        """Count a start after a wait since the job was ready."""
        self._advance(now_s)
        self._busy += 1
        self._started += 1
        bucket = wait_bucket(wait_s)
        self._waits[bucket] = self._waits.get(bucket, 0) + 1

    def ended(self, now_s: float, service_s: float, *, is_measure: bool) -> None:
        """Count an end; only whole runs measure the service time."""
        self._advance(now_s)
        self._busy -= 1
        if is_measure:
            count, total_s, squares_s2 = self._service
            self._service = (count + 1, total_s + service_s, squares_s2 + service_s * service_s)

    def take(self, now_s: float) -> StatDelta | None:
        """Give what happened since the last call; None for nothing."""
        self._advance(now_s)
        if not self._started and not self._busy_s and not self._service[0]:
            return None
        count, total_s, squares_s2 = self._service
        delta = StatDelta(
            started=self._started,
            busy_s=self._busy_s,
            service_count=count,
            service_sum_s=total_s,
            service_sq_sum_s2=squares_s2,
            waits=self._waits,
        )
        self._started, self._busy_s, self._waits = 0, 0.0, {}
        self._service = (0, 0.0, 0.0)
        return delta

    def _advance(self, now_s: float) -> None:
        if self._busy:
            self._busy_s += self._busy * (now_s - self._seen_s)
        self._seen_s = now_s


class _Outbox:
    """One queue's unwritten transitions and counts."""

    def __init__(self, queue: QueueRow) -> None:
        self.queue = queue
        self.tally = Tally()
        self.waiting: list[Transition] = []

    def take(self, now_s: float) -> tuple[Sequence[Transition], StatDelta] | None:
        """Give the next batch to write."""
        batch, self.waiting = self.waiting[:MOST_A_BATCH], self.waiting[MOST_A_BATCH:]
        delta = self.tally.take(now_s)
        return (batch, delta or StatDelta()) if batch or delta else None


class Completer:
    """Collects transitions and writes them in the background."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._outboxes: dict[str, _Outbox] = {}
        self._count = 0
        self._in_flight = 0
        self._added = asyncio.Event()
        self._full = asyncio.Event()
        self._written = asyncio.Event()

    @property
    def unwritten(self) -> int:
        """Give how many transitions the database has not answered for."""
        return self._count + self._in_flight

    def tally(self, queue: QueueRow) -> Tally:
        """Give the counts of a queue, to be written with its next batch."""
        return self._outbox(queue).tally

    def add(self, queue: QueueRow, transition: Transition) -> None:
        """Write this soon."""
        self._outbox(queue).waiting.append(transition)
        self._count += 1
        self._added.set()
        if self._count >= MOST_A_BATCH:
            self._full.set()

    async def flushed(self) -> None:
        """Wait until everything added so far is written."""
        while self.unwritten:
            self._written.clear()
            self._full.set()
            await self._written.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await _within(self._added, REPORT_EVERY_S)
            if self._added.is_set():
                await _within(self._full, DELAY_S)
            self._added.clear()
            self._full.clear()
            await self.write()

    async def write(self) -> None:
        """Write all that is waiting."""
        for outbox in list(self._outboxes.values()):
            while (batch := outbox.take(time.monotonic())) is not None:
                await self._write_batch(outbox.queue, *batch)
                if not outbox.waiting:
                    break
        if not self.unwritten:
            self._written.set()

    async def _write_batch(
        self, queue: QueueRow, batch: Sequence[Transition], delta: StatDelta
    ) -> None:
        self._count -= len(batch)
        self._in_flight += len(batch)
        doubtful = {(item.job_id, item.token) for item in batch if _is_settled(item)}
        firm = [_if_rolled_back(item) if _is_settled(item) else item for item in batch]
        attempts = count()

        async def write(store: Store) -> set[tuple[int, int]]:
            # After a lost answer nobody knows what was written: what the tokens still hold was not.
            return await store.complete(queue, firm, delta, is_repeat=next(attempts) > 0)

        refused = await self._link.insist(write, WRITE_TIMEOUT_S)
        self._in_flight -= len(batch)
        stale = refused - doubtful
        if stale:
            REFUSED.labels(queue.name).inc(len(stale))
            shown = sorted(job_id for job_id, _ in stale)[:10]
            logger.warning("%d results refused, others run these jobs: %s", len(stale), shown)

    def _outbox(self, queue: QueueRow) -> _Outbox:
        outbox = self._outboxes.get(queue.name)
        if outbox is None:
            outbox = self._outboxes[queue.name] = _Outbox(queue)
        # The newest row: `queue create` may have moved the jobs.
        outbox.queue = queue
        return outbox


def _is_settled(transition: Transition) -> bool:
    return transition.kind is TransitionKind.SETTLED


def _if_rolled_back(transition: Transition) -> Transition:
    """Retry a job whose own transaction completed it, unless that was rolled back after all.

    A committed one is gone, so the database refuses this. Left alone, a rolled back one would be
    running for ever: its claim is closed.
    """
    return replace(
        transition,
        kind=TransitionKind.RETRY,
        error="the handler rolled back the transaction that completed the job",
    )


async def _within(event: asyncio.Event, longest_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(longest_s):
            await event.wait()
