"""Write what jobs came to: batched, fenced, retried until the database answers.

A batch is written when it is large or a few milliseconds old, while further jobs run. A write
whose answer was lost is repeated: the tokens make that harmless.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Protocol

from queueworker.errors import LockTimeout
from queueworker.job import ClaimedJob, Transition, TransitionKind
from queueworker.link import Link
from queueworker.metrics import JOBS, REFUSED
from queueworker.store import NO_DELTA, QueueRow, Settlement, Store
from queueworker.tally import Tally

logger = logging.getLogger(__name__)

MOST_A_BATCH = 1000
DELAY_S, MOST_DELAY_S = 0.003, 0.015
MANY = 100
REPORT_EVERY_S = 1.0
WRITE_TIMEOUT_S = 8.0
PUT_OFF_S = 1.0

Refused = set[tuple[int, int]]


class Queued(Protocol):
    """Where the jobs are; `queue create` may move them, so the row is read at each write."""

    queue: QueueRow


class Outbox:
    """One queue's unwritten results and counts; `added` is called when a write is due."""

    def __init__(self, source: Queued, added: Callable[[], None]) -> None:
        self.source = source
        self.tally = Tally(source.queue.name)
        self._metric = JOBS.labels(source.queue.name, "succeeded")
        self._ids: list[int] = []
        self._tokens: list[int] = []
        self._others: list[Transition] = []
        self._counted = 0
        self._added = added

    def __len__(self) -> int:
        return len(self._ids) + len(self._others)

    def succeeded(self, job: ClaimedJob) -> None:
        """Write soon that a job succeeded."""
        ids = self._ids
        ids.append(job.id)
        self._tokens.append(job.token)
        if len(ids) == 1 or len(ids) == MOST_A_BATCH:
            self._added()

    def add(self, transition: Transition) -> None:
        """Write a transition soon."""
        self._others.append(transition)
        self._added()

    def put_back(self, settlement: Settlement) -> None:
        """Write what was taken with a later batch."""
        self._ids.extend(settlement.ids)
        self._tokens.extend(settlement.tokens)
        self._others.extend(settlement.others)
        self._counted += len(settlement.ids)
        self._added()

    def take(self, now_s: float) -> Settlement | None:
        """Give the next batch to write."""
        most = MOST_A_BATCH
        ids, self._ids = self._ids[:most], self._ids[most:]
        tokens, self._tokens = self._tokens[:most], self._tokens[most:]
        others, self._others = self._others[:most], self._others[most:]
        delta = self.tally.take(now_s)
        if not (ids or others or delta):
            return None
        counted = min(self._counted, len(ids))
        self._counted -= counted
        self._metric.inc(len(ids) - counted)
        return Settlement(ids=ids, tokens=tokens, others=others, delta=delta or NO_DELTA)


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
        """Wait until everything added so far is written."""
        while self.unwritten:
            self._written.clear()
            self._added.set()
            self._full.set()
            await self._written.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        count = 0
        while True:
            await _within(self._added, REPORT_EVERY_S)
            if self._added.is_set():
                # A stream of short jobs is worth waiting for: a statement costs as much as many.
                await _within(self._full, MOST_DELAY_S if count >= MANY else DELAY_S)
            self._added.clear()
            self._full.clear()
            count = await self.write()

    async def write(self) -> int:
        """Write all that is waiting; give how many results."""
        count = 0
        for outbox in list(self._outboxes.values()):
            while (batch := outbox.take(time.monotonic())) is not None:
                await self._write_batch(outbox.source.queue, batch)
                count += len(batch.ids) + len(batch.others)
                if not outbox:
                    break
        if not self.unwritten:
            self._written.set()
        return count

    def _note(self) -> None:
        self._added.set()
        if any(len(outbox) >= MOST_A_BATCH for outbox in self._outboxes.values()):
            self._full.set()

    async def _write_batch(self, queue: QueueRow, batch: Settlement) -> None:
        results = len(batch.ids) + len(batch.others)
        self._in_flight += results
        doubtful = {(item.job_id, item.token) for item in batch.others if _is_settled(item)}
        firm = [_if_rolled_back(item) if _is_settled(item) else item for item in batch.others]
        settlement = replace(batch, others=firm)
        attempts = count()

        async def write(store: Store) -> Refused:
            nonlocal settlement
            if self._is_wary:
                locked = await store.locked(queue, settlement)
                self._put_back_later(queue, batch.split(locked)[0])
                settlement = settlement.split(locked)[1]
            # After a lost answer nobody knows what was written: what the tokens still hold was not.
            return await store.settle(queue, settlement, is_repeat=next(attempts) > 0)

        refused = await self._insist(write)
        self._in_flight -= results
        stale = refused - doubtful
        if stale:
            REFUSED.labels(queue.name).inc(len(stale))
            shown = sorted(job_id for job_id, _ in stale)[:10]
            logger.warning("%d results refused, others run these jobs: %s", len(stale), shown)

    async def _insist(self, write: Callable[[Store], Awaitable[Refused]]) -> Refused:
        """Write until it is answered; after waiting for a lock in vain, without what is locked."""

        async def wary_write(store: Store) -> Refused:
            try:
                return await write(store)
            except LockTimeout:
                self._is_wary = True
                raise

        return await self._link.insist(wary_write, WRITE_TIMEOUT_S)

    def _put_back_later(self, queue: QueueRow, locked: Settlement) -> None:
        """Put off results whose rows another transaction holds: the others must not wait."""
        results = len(locked.ids) + len(locked.others)
        if not results:
            self._is_wary = self._put_off > 0
            return
        if not self._put_off:
            shown = [*locked.ids, *(item.job_id for item in locked.others)][:10]
            logger.warning(
                "%d results wait for transactions that hold their jobs: %s; a handler that completes"
                " its job in a transaction must end that transaction",
                results,
                shown,
            )
        self._put_off += results
        asyncio.get_running_loop().call_later(PUT_OFF_S, self._put_back, queue.name, locked)

    def _put_back(self, queue: str, locked: Settlement) -> None:
        self._put_off -= len(locked.ids) + len(locked.others)
        self._outboxes[queue].put_back(locked)


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
