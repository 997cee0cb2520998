"""Slots: each runs one job after the other in one asyncio task, as long as jobs wait.

A task per job would cost more than a short job does. So a slot's task goes on with the next job,
in a clean context and cancellation state again: where a handler changed either, the slot ends and
another takes its place. Slots open when jobs come, two more by each that opens, and end when no
job waits.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import copy_context

from queueworker.claim import Source
from queueworker.job import ClaimedJob
from queueworker.worker.waiting import Batch, Waiting

SLICE_S = 0.002
OPENS = 2


class Slot:
    """One place for a job; `job` is what it runs now.

    A slot that is `given_up` has lost its job to others: whatever it comes to is void.
    """

    __slots__ = (
        "claimed_s",
        "has_begun",
        "is_cancelled",
        "is_given_up",
        "job",
        "source",
        "started_s",
        "task",
    )

    def __init__(self) -> None:
        self.job: ClaimedJob | None = None
        self.source: Source
        self.claimed_s = 0.0
        self.started_s = 0.0
        self.has_begun = False
        self.is_cancelled = False
        self.is_given_up = False
        self.task: asyncio.Task[None]

    def stop(self) -> None:
        """Cancel what runs; a task that has not begun looks by itself, and must not miss its end."""
        if self.has_begun:
            self.task.cancel()

    def take(self, batch: Batch, job: ClaimedJob) -> None:
        """Take a job to run now."""
        self.job = job
        self.source = batch.source
        self.claimed_s = batch.claimed_s
        self.started_s = time.monotonic()


Run = Callable[[Slot, ClaimedJob], Awaitable[float]]
"""Runs a job in its slot, settles it, gives the service time in seconds."""


class Slots:
    """Runs what waits, at most `count` at once.

    `stuck` tells how many threads run on past their timeout: each holds a slot. `freed` is called
    when there may be room for a claim, or nothing runs any more. `is_settled` tells whether the
    database knows all results: what it does not know would be charged for a suspect's crash.
    """

    def __init__(self, count: int, waiting: Waiting, run: Run, stuck: Callable[[], int]) -> None:
        self.count = count
        self.freed: Callable[[], None] = lambda: None
        self.is_settled: Callable[[], bool] = lambda: True
        self._waiting = waiting
        self._run = run
        self._stuck = stuck
        self._open: set[Slot] = set()
        # The loop keeps only weak references to tasks; given up ones end on their own.
        self._alive: set[Slot] = set()
        self._is_alone = False
        self._clean = copy_context()

    @property
    def busy(self) -> int:
        """Give how many slots are taken: by handlers, or by threads that were given up."""
        return len(self._open) + self._stuck()

    @property
    def running(self) -> list[tuple[Slot, ClaimedJob]]:
        """List what runs; safe to call from another thread."""
        return [(slot, job) for slot in list(self._open) if (job := slot.job) is not None]

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing runs."""
        return not self._open

    def room(self) -> int:
        """Give how many jobs to claim now; none while a suspect runs or waits."""
        return 0 if self._is_alone else self._waiting.room(self.busy)

    def fill(self, most: int = OPENS) -> None:
        """Open up to `most` slots while jobs may start; each opens more."""
        free = min(most, self.count - self.busy)
        if self._is_alone or free <= 0:
            return
        if self._waiting.may_start():
            for _ in range(free):
                self._start(Slot())
        elif self._waiting.has_suspect:
            self._start_suspect()

    def _start_suspect(self) -> None:
        is_alone = not self._open and self.is_settled()
        suspect = self._waiting.take_suspect(time.monotonic(), is_alone=is_alone)
        if suspect is not None:
            self._is_alone = is_alone
            slot = Slot()
            slot.take(*suspect)
            self._start(slot)

    def stalled_s(self, now_s: float) -> float:
        """Give for how long no job has started because every slot was taken."""
        starts_s = [slot.started_s for slot, _ in self.running]
        return now_s - max(starts_s) if len(starts_s) >= self.count - self._stuck() > 0 else 0.0

    def give_up(self) -> list[tuple[Slot, ClaimedJob]]:
        """Give up all running jobs: cancel what can be cancelled."""
        running = self.running
        for slot in self._open:
            slot.is_given_up = True
        for slot, _ in running:
            slot.stop()
        self._open.clear()
        self._is_alone = False
        return running

    def cancel(self, job_id: int) -> bool:
        """Cancel one running job; give whether it runs here."""
        for slot, job in self.running:
            if job.id == job_id:
                slot.is_cancelled = True
                slot.stop()
                return True
        return False

    def by_queue(self) -> dict[str, int]:
        """Count running jobs by queue."""
        return Counter(slot.source.queue.name for slot, _ in self.running)

    def _start(self, slot: Slot) -> None:
        self._open.add(slot)
        self._alive.add(slot)
        loop, context = asyncio.get_running_loop(), self._clean.copy()
        slot.task = loop.create_task(self._serve(slot), context=context)

    async def _serve(self, slot: Slot) -> None:
        slot.has_begun = True
        try:
            if slot.job is None and not slot.is_given_up:
                if (first := self._waiting.take()) is not None:
                    slot.take(*first)
                self.fill()
            if not slot.is_given_up:
                await self._run_on(slot)
        finally:
            self._alive.discard(slot)
            self._open.discard(slot)
            self._is_alone = self._is_alone and bool(self._open)
        self.fill()
        self.freed()

    async def _run_on(self, slot: Slot) -> None:
        """Run the slot's job and the next ones, until none waits or one left traces."""
        run, waiting, clean, task = self._run, self._waiting, self._clean, slot.task
        slice_ends_s = slot.started_s + SLICE_S
        while (job := slot.job) is not None:
            service_s = await run(slot, job)
            slot.job = None
            if slot.is_given_up:
                return
            waiting.measured(service_s)
            if self._is_alone or task.cancelling() or copy_context() != clean:
                return
            if service_s > SLICE_S or slot.started_s > slice_ends_s:
                # Let the loop do its other work.
                self.freed()
                await asyncio.sleep(0)
                slice_ends_s = time.monotonic() + SLICE_S
                if not self._may_go_on(slot):
                    return
            if (next_ := waiting.take()) is not None:
                slot.take(*next_)

    def _may_go_on(self, slot: Slot) -> bool:
        return not slot.is_given_up and self.busy <= self.count
