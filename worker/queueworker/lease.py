"""The worker's lease, renewed from a thread with a loop and a connection of its own.

A handler may block the event loop for a minute; the lease goes on. The end of the lease is
counted from before the round trip on the monotonic clock: it is never later than the database's.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar
from uuid import UUID, uuid4

from queueworker.dsn import Dsn
from queueworker.errors import DatabaseError
from queueworker.link import Link
from queueworker.metrics import LEASE_LOST, LEASE_RENEW
from queueworker.store import OpenClaims, Store, WorkerLoad, WorkerRow
from queueworker.within import within

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

RENEWALS_PER_TTL = 3
# A renewal without an answer leaves time for another one over a new connection.
ANSWERS_PER_TTL = 5
MARGIN_SHARE = 0.1
MOST_OFTEN_S = 1.0
STOP_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the worker does at this moment; `oldest_started_at_s` is on the monotonic clock."""

    slots: int
    busy: int = 0
    held: int = 0
    draining: bool = False
    oldest_started_at_s: float | None = None
    busy_by_queue: Mapping[str, int] = field(default_factory=dict)
    held_by_queue: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A right to run jobs until `ends_at_s` on the monotonic clock."""

    worker_id: UUID
    ends_at_s: float

    def is_valid(self, now_s: float) -> bool:
        """Tell whether jobs may still run."""
        return now_s < self.ends_at_s


class LeaseEvents(Protocol):
    """What the keeper's thread tells; the receiver changes threads itself."""

    def gained(self, worker_id: UUID) -> None:
        """A new lease under a new id: jobs may be claimed."""

    def lost(self) -> None:
        """The lease is over: stop all jobs, write nothing for them."""

    def drain_asked(self, *, is_flagged: bool) -> None:
        """The operator set or cleared the drain flag."""


class LeaseKeeper:
    """Registers a worker and renews its lease until stopped; after a loss, under a new id."""

    def __init__(
        self, dsn: Dsn, row: WorkerRow, events: LeaseEvents, open_claims: OpenClaims
    ) -> None:
        self._dsn = dsn
        self._row = row
        self._events = events
        self._open_claims = open_claims
        self._load = Load(slots=row.slots)
        self._is_flagged = False
        self._is_stopping = False
        # These belong to the thread's loop and are made there.
        self._loop: asyncio.AbstractEventLoop
        self._link: Link
        self._urgent: asyncio.Event
        self._changed: asyncio.Event
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._keep()), name="lease", daemon=True
        )
        self.current: Lease | None = None

    @property
    def is_alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    @property
    def trouble(self) -> DatabaseError | None:
        """Give what keeps the lease from being taken or renewed; None when nothing does."""
        return self._link.trouble if hasattr(self, "_link") else None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def report(self, load: Load) -> None:
        """Take the worker's load; a change is written at once, at most once a second."""
        if load != self._load:
            self._load = load
            self._poke(is_urgent=False)

    def renew_now(self) -> None:
        """Renew at once: the row was changed by somebody else."""
        self._poke(is_urgent=True)

    def submit(self, work: Callable[[Store], Awaitable[Answer]]) -> Future[Answer]:
        """Do database work in the keeper's thread, even while the main loop is blocked."""
        return asyncio.run_coroutine_threadsafe(self._link.call(work), self._loop)

    def stop(self, timeout_s: float) -> bool:
        """Deregister and end the thread; give whether it ended in time."""
        self._is_stopping = True
        self._poke(is_urgent=True)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _poke(self, *, is_urgent: bool) -> None:
        # Before the loop runs there is nothing to wake; after its end nobody to tell.
        with suppress(AttributeError, RuntimeError):
            self._loop.call_soon_threadsafe(self._changed.set)
            if is_urgent:
                self._loop.call_soon_threadsafe(self._urgent.set)

    async def _keep(self) -> None:
        self._urgent, self._changed = asyncio.Event(), asyncio.Event()
        self._link = Link(self._dsn, "lease", self._open_claims)
        self._loop = asyncio.get_running_loop()
        watch = asyncio.create_task(self._watch_end())
        failures = 0
        while not self._is_stopping:
            try:
                await (self._register() if self.current is None else self._renew())
                failures = 0
            except DatabaseError as exc:
                await self._link.pause(failures, exc)
                failures += 1
                continue
            await self._wait()
        watch.cancel()
        await self._deregister()
        await self._link.close()

    async def _register(self) -> None:
        worker_id = uuid4()
        before_s = time.monotonic()
        await self._link.call(
            lambda store: store.register(replace(self._row, id=worker_id)),
            self._row.ttl_s / ANSWERS_PER_TTL,
        )
        self._is_flagged = False
        self.current = Lease(worker_id=worker_id, ends_at_s=self._end_s(before_s))
        self._events.gained(worker_id)

    async def _renew(self) -> None:
        lease = self.current
        if lease is None:
            return
        before_s = time.monotonic()
        load = self._worker_load(before_s)
        renewal = await self._link.call(
            lambda store: store.renew(lease.worker_id, self._row.ttl_s, load),
            self._row.ttl_s / ANSWERS_PER_TTL,
        )
        LEASE_RENEW.observe(time.monotonic() - before_s)
        if self.current is not lease:
            return  # the end was noticed while the answer was on its way
        if not renewal.alive:
            self._lose("the database has ended it")
            return
        self.current = replace(lease, ends_at_s=self._end_s(before_s))
        if renewal.drain != self._is_flagged:
            self._is_flagged = renewal.drain
            self._events.drain_asked(is_flagged=renewal.drain)

    def _worker_load(self, now_s: float) -> WorkerLoad:
        load = self._load
        started_s = load.oldest_started_at_s
        return WorkerLoad(
            slots=load.slots,
            busy=load.busy,
            held=load.held,
            draining=load.draining,
            oldest_start_age_s=None if started_s is None else max(0.0, now_s - started_s),
            busy_by_queue=load.busy_by_queue,
            held_by_queue=load.held_by_queue,
        )

    def _end_s(self, before_s: float) -> float:
        return before_s + self._row.ttl_s * (1 - MARGIN_SHARE)

    def _lose(self, reason: str) -> None:
        self.current = None
        self._urgent.set()
        self._changed.set()
        LEASE_LOST.inc()
        logger.warning("lease lost: %s; its jobs are stopped and their results refused", reason)
        self._events.lost()

    async def _watch_end(self) -> None:
        """Notice the end of a lease that cannot be renewed, whatever the connection does."""
        while True:
            lease = self.current
            now_s = time.monotonic()
            if lease is not None and not lease.is_valid(now_s):
                self._lose("it could not be renewed in time")
                continue
            await asyncio.sleep(0.2 if lease is None else min(0.2, lease.ends_at_s - now_s))

    async def _wait(self) -> None:
        """Wait for the next renewal: a third of the lease, or less when the load changes."""
        interval_s = self._row.ttl_s / RENEWALS_PER_TTL * random.uniform(0.8, 1.0)  # noqa: S311
        quiet_s = min(MOST_OFTEN_S, interval_s)
        await within(quiet_s, self._urgent.wait())
        await within(interval_s - quiet_s, self._changed.wait())
        self._urgent.clear()
        self._changed.clear()

    async def _deregister(self) -> None:
        lease, self.current = self.current, None
        if lease is None:
            return
        try:
            await self._link.call(lambda store: store.deregister(lease.worker_id), STOP_TIMEOUT_S)
        except DatabaseError as exc:
            logger.warning("the worker's row stays until its lease ends: %s", exc)
