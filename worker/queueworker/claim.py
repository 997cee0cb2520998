"""How many jobs to claim, from which queue, and when to look again.

A worker holds what its slots start soon and no more: others could run the rest.
"""

import asyncio
import logging
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from queueworker.errors import DatabaseError
from queueworker.hints import LaneHints
from queueworker.job import ClaimedJob
from queueworker.link import Link
from queueworker.metrics import CLAIM, CLAIMS_EMPTY
from queueworker.store import ClaimRequest, QueueRow, SweptLane
from queueworker.within import within

logger = logging.getLogger(__name__)

FIRST_POLL_S = 0.05

Before = Callable[[UUID | None], Awaitable[None]]
"""What must be done before each claim, while none is under way; takes the worker's id."""


class Hand(Protocol):
    """Where claimed jobs go."""

    def room(self) -> int:
        """Give how many jobs may be claimed now; 0 while draining, full or without a lease."""

    def startable(self, count: int) -> int:
        """Give how many of `count` claimed jobs count as started at once."""

    def worker_id(self) -> UUID | None:
        """Give the id to claim under; None without a lease."""

    def in_hand(self, queue: str) -> int:
        """Give how many jobs of a queue run or wait here."""

    def accept(
        self, source: "Source", worker_id: UUID, jobs: Sequence[ClaimedJob], marked: int
    ) -> None:
        """Take jobs that were claimed under `worker_id`; the first `marked` may start."""

    def paused(self, source: "Source") -> None:
        """Give back a queue's jobs that have not started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often to look when nothing wakes a worker: seldom while it is woken by LISTEN."""

    poll_s: float

    def delay_s(self, empty_claims: int, random_unit: float, *, is_listening: bool) -> float:
        """Give the time until the next look."""
        if is_listening:
            return self.poll_s * (0.9 + 0.2 * random_unit)
        grown_s = FIRST_POLL_S * 2.0 ** min(empty_claims, 16)
        return min(self.poll_s, grown_s) * (0.9 + 0.2 * random_unit)


class Source:
    """One queue that a worker claims from; `most` bounds how many of its jobs are in hand."""

    def __init__(self, queue: QueueRow, weight: int, pace: Pace, most: int | None = None) -> None:
        self.queue = queue
        self.weight = weight
        self.most = most
        self.hints = LaneHints()
        self.turn = 0.0
        self.due_s = 0.0
        self.is_woken = False
        self.has_asked = False
        self.is_flagged = False
        self.paused: Callable[[Source], None] = lambda _: None
        self._pace = pace
        self._empty_claims = 0

    def learned(self, queue: QueueRow) -> None:
        """Take the queue's row as it is now; one that is paused starts nothing more."""
        self.queue = queue
        if queue.paused:
            self.paused(self)

    def wake(self, now_s: float) -> None:
        """Look at once, from the floors."""
        self.due_s = now_s
        self.is_woken = True
        self._empty_claims = 0
        self.hints.lower(now_s)

    def swept(self, rows: Sequence[SweptLane], now_s: float) -> bool:
        """Take a sweep's findings; give whether there is something to claim."""
        is_behind = self.hints.swept(rows, now_s)
        return is_behind or any(row.promoted for row in rows)

    def found_nothing(self, now_s: float, *, is_listening: bool) -> None:
        """Sleep until a wake-up or the next poll; not when one came during the claim."""
        self.has_asked = False
        if self.is_woken:
            return
        unit = random.random()  # noqa: S311 - jitter
        delay_s = self._pace.delay_s(self._empty_claims, unit, is_listening=is_listening)
        self.due_s = now_s + delay_s
        self._empty_claims += 1

    def found(self, count: int) -> None:
        """Look again as soon as there is room; what was claimed counts against the next turn."""
        self.turn += count / self.weight
        self._empty_claims = 0
        self.has_asked = False


def choose(sources: Sequence[Source], now_s: float) -> Source | None:
    """Pick the due queue that has had the least for its weight (stride scheduling)."""
    due = [source for source in sources if source.due_s <= now_s]
    if not due:
        return None
    chosen = min(due, key=lambda source: source.turn)
    for source in sources:
        # A queue that slept does not catch up on what it could not have used.
        source.turn = max(source.turn, chosen.turn)
    return chosen


def share(room: int, chosen: Source, sources: Sequence[Source], now_s: float) -> int:
    """Give the chosen queue its part of the room, so that one burst does not take it all."""
    weights = sum(source.weight for source in sources if source.due_s <= now_s)
    return max(1, -(-room * chosen.weight // max(weights, chosen.weight)))


class Claimer:
    """Claims for a worker's hand, one claim at a time, while earlier jobs run."""

    def __init__(self, link: Link, sources: Sequence[Source], hand: Hand, before: Before) -> None:
        self._link = link
        self._before = before
        self._sources = {source.queue.name: source for source in sources}
        for source in sources:
            source.paused = hand.paused
        self._hand = hand
        self._woken = asyncio.Event()
        self.is_listening = False

    @property
    def sources(self) -> Sequence[Source]:
        """Give the queues."""
        return list(self._sources.values())

    def wake(self, queue: str | None = None) -> None:
        """Look at a queue at once (None: at all); unknown queues are others' business."""
        now_s = time.monotonic()
        for source in self.sources if queue is None else (self._sources.get(queue),):
            if source is not None:
                source.wake(now_s)
        self._woken.set()

    def room_changed(self) -> None:
        """Look whether there is room now."""
        self._woken.set()

    async def run(self) -> None:
        """Claim until cancelled."""
        failures = 0
        while True:
            try:
                await self._step()
                failures = 0
            except DatabaseError as exc:
                await self._link.pause(failures, exc)
                failures += 1

    async def _step(self) -> None:
        now_s = time.monotonic()
        room = self._hand.room()
        # A queue at its bound waits for its own jobs to end; the others' share of the room grows.
        open_ = {source: spare for source in self.sources if (spare := self._spare(source)) > 0}
        source = choose([*open_], now_s) if room > 0 else None
        if source is None:
            await self._sleep(now_s, [*open_] if room > 0 else [])
            return
        await self._before(self._hand.worker_id())
        limit = min(share(room, source, [*open_], now_s), open_[source])
        jobs = await self._claim(source, limit)
        now_s = time.monotonic()
        if not jobs:
            await self._found_nothing(source, now_s)
            return
        source.found(len(jobs))
        if source.is_flagged and len(jobs) >= limit:
            # A backlog: enqueues need not notify. Sleeping workers see it at their next poll.
            source.is_flagged = False
            await self._link.call(lambda store: store.set_idle(source.queue.id, idle=False))

    def _spare(self, source: Source) -> int:
        """Give how many more jobs of a queue may be in hand."""
        if source.most is None:
            return sys.maxsize
        return source.most - self._hand.in_hand(source.queue.name)

    async def _claim(self, source: Source, limit: int) -> Sequence[ClaimedJob]:
        worker_id = self._hand.worker_id()
        if worker_id is None:
            return ()
        source.is_woken = False
        began_s = time.monotonic()
        marked = self._hand.startable(limit)
        request = ClaimRequest(
            queue=source.queue,
            worker_id=worker_id,
            limit=limit,
            lanes=source.hints.lanes,
            hints=source.hints.starts,
            started=marked,
        )
        jobs = await self._link.call(lambda store: store.claim(request))
        now_s = time.monotonic()
        CLAIM.labels(source.queue.name).observe(now_s - began_s)
        source.hints.claimed(jobs, began_s, now_s)
        if jobs:
            self._hand.accept(source, worker_id, jobs, min(marked, len(jobs)))
            # They start before the next claim is made: making one takes longer than a start.
            await asyncio.sleep(0)
        else:
            CLAIMS_EMPTY.labels(source.queue.name).inc()
        return jobs

    async def _found_nothing(self, source: Source, now_s: float) -> None:
        if not source.has_asked:
            # First ask to be notified, then look once more: a job committed in between is seen.
            source.has_asked = source.is_flagged = True
            await self._link.call(lambda store: store.set_idle(source.queue.id, idle=True))
            source.hints.lower(time.monotonic())
            return
        source.found_nothing(now_s, is_listening=self.is_listening)

    async def _sleep(self, now_s: float, sources: Sequence[Source]) -> None:
        # Without room nothing is due; `room_changed` ends the wait, the bound is a safety net.
        due_s = min((source.due_s for source in sources), default=now_s + 1.0)
        longest_s = max(0.001, due_s - now_s)
        await within(longest_s, self._woken.wait())
        self._woken.clear()
