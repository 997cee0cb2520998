"""Write what jobs came to: batched, fenced, retried until the database answers.

A batch is written when it is large or a few milliseconds old, while further jobs run. A write
whose answer was lost is repeated: the tokens make that harmless. A result that the database does
not take is found by halves, and its job buried: it must not stop the others.
"""

import asyncio
import logging
import time
from dataclasses import replace
from itertools import count

from queueworker.counts import Counts
from queueworker.errors import LockTimeout, StatementRefused
from queueworker.link import Link
from queueworker.metrics import REFUSED
from queueworker.outbox import COUNT_EVERY_S, MOST_A_BATCH, Outbox, Queued
from queueworker.retry import buried
from queueworker.store import NO_DELTA, QueueRow, Settlement, Store
from queueworker.text import counted
from queueworker.within import within

logger = logging.getLogger(__name__)

DELAY_S, MOST_DELAY_S = 0.003, 0.015
MANY = 100
WRITE_TIMEOUT_S = 8.0
PUT_OFF_S = 1.0
# The first may be the fault of an old prepared statement: the connection is new each time.
REFUSALS, REFUSED_PUT_OFF_S = 3, 30.0

Refused = set[tuple[int, int]]


class Completer:
    """Collects results and writes them in the background."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._outboxes: dict[str, Outbox] = {}
        self._in_flight = 0
        self._added = asyncio.Event()
        self._full = asyncio.Event()
        self._written = asyncio.Event()
        self._put_off = 0
        self._is_wary = False
        self._is_last = False
        self._counts = Counts()

    @property
    def unwritten(self) -> int:
        """Give how many results the database has not answered for."""
        return sum(map(len, self._outboxes.values())) + self._in_flight + self._put_off

    def outbox(self, source: Queued) -> Outbox:
        """Find or make the outbox of a queue."""
        name = source.queue.name
        if name not in self._outboxes:
            self._outboxes[name] = Outbox(source, self._note)
        return self._outboxes[name]

    async def flushed(self) -> None:
        """Wait until everything added so far is written, at a worker's end."""
        self._is_last = True
        while self.unwritten:
            self._written.clear()
            self._added.set()
            self._full.set()
            await self._written.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        count = 0
        while True:
            await within(COUNT_EVERY_S, self._added.wait())
            if self._added.is_set():
                # A stream of short jobs is worth waiting for: a statement costs as much as many.
                await within(MOST_DELAY_S if count >= MANY else DELAY_S, self._full.wait())
            self._added.clear()
            self._full.clear()
            count = await self.write()

    async def write(self) -> int:
        """Write all that is waiting; give how many results."""
        count = 0
        for outbox in list(self._outboxes.values()):
            while (batch := self._next(outbox)) is not None:
                await self._write_batch(outbox.source.queue, batch)
                count += batch.results
                if not outbox:
                    break
        if self._counts:
            await self._write_counts()
        if not self.unwritten:
            self._written.set()
        return count

    def _next(self, outbox: Outbox) -> Settlement | None:
        return outbox.take(time.monotonic(), with_counts=self._is_last)

    def _note(self) -> None:
        self._added.set()
        if any(len(outbox) >= MOST_A_BATCH for outbox in self._outboxes.values()):
            self._full.set()

    async def _write_batch(self, queue: QueueRow, batch: Settlement) -> None:
        results = batch.results
        self._in_flight += results
        await self._write_part(queue, batch, is_repeat=False)
        self._in_flight -= results

    async def _write_part(self, queue: QueueRow, part: Settlement, *, is_repeat: bool) -> None:
        try:
            await self._insist(queue, part, is_repeat=is_repeat)
        except _NotTaken as exc:
            await self._isolate(queue, exc)

    async def _insist(self, queue: QueueRow, part: Settlement, *, is_repeat: bool) -> None:
        """Write until it is answered; after waiting for a lock in vain, without what is locked."""
        attempts = count(int(is_repeat))
        part = self._without_counts(queue, part)
        if not part.results:
            return

        async def write(store: Store) -> Refused:
            nonlocal part
            if self._is_wary:
                locked, part = part.split(await store.locked(queue, part))
                self._put_off_locked(queue, locked)
                part = self._without_counts(queue, part)
            try:
                # After a lost answer nobody knows what was written: what the tokens still hold was not.
                return await store.settle(queue, part, is_repeat=next(attempts) > 0)
            except LockTimeout:
                self._is_wary = True
                raise

        try:
            refused = await self._link.insist(write, WRITE_TIMEOUT_S, refusals=REFUSALS)
        except StatementRefused as exc:
            raise _NotTaken(part, exc) from exc
        self._answered(queue, part, refused)

    def _without_counts(self, queue: QueueRow, part: Settlement) -> Settlement:
        """Keep counts that no success goes with: they are written on their own."""
        if part.ids:
            return part
        self._counts.add(queue, part.delta)
        return replace(part, delta=NO_DELTA)

    async def _write_counts(self) -> None:
        try:
            await self._link.insist(self._counts.write, WRITE_TIMEOUT_S, refusals=REFUSALS)
        except StatementRefused as exc:
            logger.error("counts are lost: %s", exc)  # noqa: TRY400 - the place says nothing
            self._counts.drop()

    def _answered(self, queue: QueueRow, part: Settlement, refused: Refused) -> None:
        succeeded = len(part.ids)
        if refused:
            succeeded -= len(refused.intersection(zip(part.ids, part.tokens, strict=True)))
            refused -= {(item.job_id, item.token) for item in part.others if item.is_guard}
        self._outboxes[queue.name].accepted(succeeded)
        if refused:
            REFUSED.labels(queue.name).inc(len(refused))
            logger.warning(
                "%s refused, others run these jobs or they were cancelled: %s",
                counted(len(refused), "result"),
                sorted(job_id for job_id, _ in refused)[:10],
            )

    async def _isolate(self, queue: QueueRow, fault: "_NotTaken") -> None:
        """Write the halves of what the database does not take; bury the job of a single result."""
        part = fault.part
        if parts := part.halves():
            for half in parts:
                await self._write_part(queue, half, is_repeat=True)
            return
        change = buried(part.single, f"its result could not be stored: {fault.reason}")
        logger.error("job %d is made a dead letter: %s", change.job_id, change.error)
        try:
            await self._insist(queue, Settlement(others=[change]), is_repeat=True)
        except _NotTaken:
            logger.exception("job %d cannot be buried; trying again later", change.job_id)
            self._put_off_for(queue, part, REFUSED_PUT_OFF_S)

    def _put_off_locked(self, queue: QueueRow, locked: Settlement) -> None:
        """Put off results whose rows another transaction holds: the others must not wait."""
        if not locked.results:
            self._is_wary = self._put_off > 0
            return
        if not self._put_off:
            shown = [*locked.ids, *(item.job_id for item in locked.others)][:10]
            logger.warning(
                "%s for transactions that hold their jobs: %s; a handler that completes"
                " its job in a transaction must end that transaction",
                counted(locked.results, "result waits", "results wait"),
                shown,
            )
        self._put_off_for(queue, locked, PUT_OFF_S)

    def _put_off_for(self, queue: QueueRow, part: Settlement, delay_s: float) -> None:
        self._put_off += part.results
        asyncio.get_running_loop().call_later(delay_s, self._put_back, queue.name, part)

    def _put_back(self, queue: str, part: Settlement) -> None:
        self._put_off -= part.results
        self._outboxes[queue].put_back(part)


class _NotTaken(Exception):
    """The database did not take `part`, what is left of a batch."""

    def __init__(self, part: Settlement, reason: StatementRefused) -> None:
        super().__init__(str(reason))
        self.part = part
        self.reason = reason
