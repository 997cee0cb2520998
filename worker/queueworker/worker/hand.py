"""The jobs that a worker has in hand, from claim to transition, under its lease and its drain."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from uuid import UUID

from queueworker.app import App
from queueworker.claim import Source
from queueworker.complete import Completer
from queueworker.drain import Drain, Phase
from queueworker.execute import Executors
from queueworker.job import ClaimedJob, Released, Transition, TransitionKind
from queueworker.link import Link
from queueworker.metrics import DRAIN_RELEASED
from queueworker.settings import Settings
from queueworker.store import Store
from queueworker.text import counted
from queueworker.worker.runner import Runner
from queueworker.worker.slots import Slots
from queueworker.worker.waiting import Batch, Unstarted, Waiting

logger = logging.getLogger(__name__)

MOST_UNWRITTEN = 5000

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Hand:
    """Takes claims, fills slots, gives jobs back. Everything happens in the worker's loop.

    `changed` is called when there may be room; `ended` is set when a run ended or the drain moved.
    """

    def __init__(self, app: App, settings: Settings, claims: Link, completer: Completer) -> None:
        self.drain = Drain(grace_s=settings.grace_s)
        self.executors = Executors(settings.app)
        self.runner = Runner(app.tasks, self.executors, completer, self._must_yield)
        self.waiting = Waiting(settings.concurrency, self._mark)
        self.slots = Slots(
            settings.concurrency, self.waiting, self.runner.run, lambda: self.executors.stuck
        )
        self.slots.freed = self._freed
        self.slots.is_settled = lambda: not completer.unwritten
        self.moved = asyncio.Event()
        self.busy_changed = asyncio.Event()
        self.changed: Callable[[], None] = lambda: None
        self.arriving = 0
        self.spawn: Spawn
        self._completer = completer
        self._claims = claims
        self._worker_id: UUID | None = None

    # The claimer's side

    def room(self) -> int:
        """Give how many jobs may be claimed now; 0 while draining, full or without a lease."""
        if self._worker_id is None or not self._is_working():
            return 0
        if self._completer.unwritten > MOST_UNWRITTEN:
            return 0  # the database does not take results: what runs now would run for nothing
        return self.slots.room()

    def startable(self, count: int) -> int:
        """Give how many of `count` claimed jobs count as started at once."""
        return self.waiting.startable(count, self.slots.busy)

    @property
    def is_busy(self) -> bool:
        """Tell whether jobs run, or come in."""
        return not self.slots.is_idle or self.arriving > 0

    def in_hand(self, queue: str) -> int:
        """Give how many jobs of a queue run or wait here."""
        return self.slots.by_queue().get(queue, 0) + self.waiting.by_queue().get(queue, 0)

    def worker_id(self) -> UUID | None:
        """Give the id to claim under; None without a lease."""
        return self._worker_id

    def accept(
        self, source: Source, worker_id: UUID, jobs: Sequence[ClaimedJob], marked: int
    ) -> None:
        """Take a claim; one that came too late is given back."""
        if worker_id != self._worker_id or not self._is_working():
            self._give_back([(source, job) for job in jobs], "claimed while the worker stopped")
            return
        if any(job.is_suspect for job in jobs):
            self.arriving += 1
            self.spawn(self._accept_apart(source, worker_id, jobs, marked))
        else:
            self._add(Batch(source, jobs, marked, time.monotonic()))

    def paused(self, source: Source) -> None:
        """Give back the waiting jobs of a queue that is paused."""
        self._give_back(self.waiting.take_back_of(source), "the queue is paused")
        self._freed()

    # The lease's side

    def gained(self, worker_id: UUID) -> None:
        """Claim under a new id."""
        self._worker_id = worker_id
        self.drain = self.drain.with_flag(is_flagged=False)
        self.changed()

    def lost(self) -> None:
        """Stop all jobs: others may run them from now on.

        They are given back by their tokens: where the database has not given them away yet,
        no attempt is charged.
        """
        self._worker_id = None
        self.give_back_waiting("lease lost")
        self.release_running("lease lost")

    def drain_asked(self, *, is_flagged: bool) -> None:
        """Follow the operator's drain flag."""
        logger.info("drain flag %s", "set" if is_flagged else "cleared")
        self.drain = self.drain.with_flag(is_flagged=is_flagged)
        if is_flagged:
            self.give_back_waiting("draining")
        self.changed()
        self.moved.set()

    # The drain's side

    def signalled(self, now_s: float, name: str) -> None:
        """Take a SIGTERM or SIGINT of `now_s`: claim nothing, give back what has not started."""
        self.drain = self.drain.with_signal(now_s)
        running = counted(len(self.slots.running), "job runs", "jobs run")
        logger.info("%s: %s, %s", name, self._phase().value, running)
        DRAIN_RELEASED.inc(self.give_back_waiting(name))
        self.moved.set()

    def give_back_waiting(self, reason: str, now_s: float | None = None) -> int:
        """Give back jobs that have not started: all, or those that waited too long at `now_s`."""
        return self._give_back(self.waiting.take_back(now_s), reason)

    def release_running(self, reason: str) -> int:
        """Give back jobs that run, uncharged; whatever they come to is refused."""
        running = self.slots.give_up()
        for slot, job in running:
            self.runner.release(slot.source, job, Released(reason=reason, has_started=True))
        self.moved.set()
        return len(running)

    def cancel(self, job_id: int) -> bool:
        """Stop a job that was cancelled, or let go of it before it starts; give whether it is here."""
        if (waiting := self.waiting.remove(job_id)) is None:
            return self.slots.cancel(job_id)
        self.runner.forget(*waiting)
        self._freed()
        return True

    async def release_all(self, store: Store) -> None:
        """Give everything back from another thread, while the loop is blocked: a write a queue."""
        running = [(slot.source, job) for slot, job in self.slots.running]
        releases: defaultdict[Source, list[Transition]] = defaultdict(list)
        for kind, jobs in (
            (TransitionKind.RELEASE_STARTED, running),
            (TransitionKind.RELEASE, self.waiting.jobs()),
        ):
            for source, job in jobs:
                release = Transition(job_id=job.id, token=job.token, kind=kind)
                releases[source].append(release)
        for source, transitions in releases.items():
            await store.complete(source.queue, transitions)

    def _give_back(self, jobs: Unstarted, reason: str) -> int:
        for source, job in jobs:
            self.runner.release(source, job, Released(reason=reason))
        return len(jobs)

    def _is_working(self) -> bool:
        return not self.drain.is_ending and not self.drain.is_flagged

    def _phase(self) -> Phase:
        return self.drain.phase(time.monotonic())

    def _must_yield(self) -> bool:
        return self.drain.is_ending

    def _freed(self) -> None:
        self.busy_changed.set()
        if self.room():
            self.changed()
        if self.slots.is_idle:
            self.moved.set()

    def _add(self, batch: Batch) -> None:
        self.waiting.add(batch)
        self.slots.fill()
        self.busy_changed.set()

    async def _accept_apart(
        self, source: Source, worker_id: UUID, jobs: Sequence[ClaimedJob], marked: int
    ) -> None:
        """Put suspects into a claim of their own, of which none has started, before others start."""
        suspects = [job for job in jobs if job.is_suspect]
        others = [job for job in jobs if not job.is_suspect]
        marked = min(marked, len(others))
        token = await self._claims.insist(lambda store: store.isolate(suspects, marked))
        self.arriving -= 1
        self.moved.set()
        kept = [] if token is None else [job._replace(token=token) for job in suspects]
        if worker_id != self._worker_id or not self._is_working():
            back = [(source, job) for job in (*kept, *others)]
            self._give_back(back, "claimed while the worker stopped")
            return
        if kept and not self.waiting.has_suspect:
            self.waiting.add_suspect(Batch(source, kept[:1], 0, time.monotonic()))
            kept = kept[1:]
        self._give_back([(source, job) for job in kept], "another suspect runs first")
        if others:
            self._add(Batch(source, others, marked, time.monotonic()))
        else:
            self.slots.fill()

    def _mark(self, batch: Batch, count: int) -> None:
        self.spawn(self._write_mark(batch, count))

    async def _write_mark(self, batch: Batch, count: int) -> None:
        await self._claims.insist(lambda store: store.mark_started(batch.token, count))
        self.waiting.marked(batch, count)
        self.slots.fill()
