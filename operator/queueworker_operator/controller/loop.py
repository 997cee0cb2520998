"""The loop of one database: one read for all its queues, then one step for each QueueWorker."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence

from prometheus_client import CollectorRegistry

from queueworker_operator.controller.history import History
from queueworker_operator.controller.pace import Pace
from queueworker_operator.controller.ports import Ports, Reading, attempt
from queueworker_operator.controller.release import release
from queueworker_operator.controller.step import BROKEN, failed_report, step
from queueworker_operator.controller.still import to_step
from queueworker_operator.controller.upkeep import Upkeep
from queueworker_operator.controller.watch import Assignment, Watch
from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag import LagSource, Wake
from queueworker_operator.metrics import Metrics
from queueworker_operator.report import Reporter
from queueworker_operator.settings import LoopSettings

logger = logging.getLogger(__name__)

FINISH_WITHIN_S = 5.0


class DatabaseLoop:
    """Reads each second or when woken, decides each QueueWorker, acts while `may_write`.

    `run` closes the source when it ends. `last_tick_at` is by `clock`, for a liveness probe.
    """

    def __init__(
        self,
        source: LagSource,
        reporter: Reporter,
        *,
        may_write: Callable[[], bool],
        settings: LoopSettings,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
    ) -> None:
        self._ports = Ports(
            source=source,
            history=History(source, clock),
            reporter=reporter,
            may_write=may_write,
            settings=settings,
            clock=clock,
            wall_clock=wall_clock,
            metrics=metrics or Metrics(CollectorRegistry(), clock),
        )
        self._watches: dict[str, Watch] = {}
        self._ended: list[Watch] = []
        self._steps: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._pace = Pace(
            read_at_s=clock() - settings.read_every_s, early_left=settings.early_reads
        )
        self._upkeep = Upkeep(self._ports)
        self._wrote = False
        self.last_tick_at = clock()

    def assign(self, assignment: Assignment) -> None:
        """Begin to watch a QueueWorker, or take over its new spec; what was learned stays."""
        watch = self._watches.get(assignment.key)
        if watch is not None and watch.assignment.target is assignment.target:
            watch.take(assignment)
        else:
            self._leave(assignment.key)
            self._watches[assignment.key] = Watch(
                assignment=assignment, unread_since_s=self._ports.clock()
            )
        self.wake()

    def forget(self, key: str) -> None:
        """Stop watching a QueueWorker; its target is left as it is, drains are undone."""
        self._leave(key)
        self._ports.history.forget(key)

    def _leave(self, key: str) -> None:
        watch = self._watches.pop(key, None)
        self._ports.metrics.forget(key)
        if watch is not None:
            self._end(watch)

    def _end(self, watch: Watch) -> None:
        if watch.scale_in.is_under_way and watch not in self._ended:
            self._ended.append(watch)
            self.wake()

    def wake(self) -> None:
        """Ask for a tick now, at most a few a second."""
        self._woken.set()

    async def run(self) -> None:
        """Tick until cancelled; then save what was learned, undo drains and close the source."""
        try:
            while True:
                await self.tick()
                await self._pause()
        finally:
            await self._finish()

    async def tick(self) -> None:
        """Read once and step every QueueWorker that needs it; nothing that fails here ends the loop."""
        self._pace = self._pace.began(self._ports.clock(), self._ports.settings)
        self._woken.clear()
        reading = await self._read()
        assigned = self._watches.values()
        note_shared(assigned)
        # One that came during the read was not asked for: the next tick, at once, is its first.
        watches = [w for w in assigned if reading.queues.issuperset(w.assignment.queues)]
        self._wrote = False
        await self._step_all(to_step(self._ports, watches, reading), reading)
        if self._wrote:
            self._pace = self._pace.paid_off()
        if self._ports.may_write() and reading.trouble is None:
            await attempt("undo drains", self._release_ended())
            await self._upkeep.keep_up(watches, reading)
        self.last_tick_at = self._ports.clock()

    async def _read(self) -> Reading:
        began_s = self._ports.clock()
        queues = frozenset(q for w in self._watches.values() for q in w.assignment.queues)
        if not queues:
            return Reading(read_at_s=began_s)
        try:
            lags = await self._ports.source.look(sorted(queues))
        except LagUnavailable as exc:
            self._ports.metrics.metric_read_failures.inc()
            return Reading(read_at_s=began_s, queues=queues, trouble=exc)
        except Exception as exc:
            logger.exception("reading the lag failed")
            kind = type(exc).__name__
            trouble = LagUnavailable(f"reading the lag failed ({kind}): see the operator's log")
            return Reading(read_at_s=began_s, queues=queues, trouble=trouble)
        self._ports.metrics.metric_read_seconds.observe(self._ports.clock() - began_s)
        return Reading(read_at_s=began_s, queues=queues, lags=lags)

    async def _step_all(self, watches: Sequence[Watch], reading: Reading) -> None:
        """Step all side by side; one that is slow goes on alone and is left out meanwhile."""
        for watch in watches:
            key = watch.assignment.key
            if key not in self._steps:
                self._steps[key] = asyncio.create_task(self._step(key, watch, reading))
        if self._steps:
            await asyncio.wait(
                tuple(self._steps.values()), timeout=self._ports.settings.read_every_s
            )

    async def _step(self, key: str, watch: Watch, reading: Reading) -> None:
        """Run one step behind a bulkhead: its failure or its slowness is its own."""
        try:
            async with asyncio.timeout(self._ports.settings.step_deadline_s):
                if await step(self._ports, watch, reading):
                    self._wrote = True
        except Exception as exc:
            if watch.reported != BROKEN:
                logger.exception("%s: a tick failed", key)
            await attempt("report a failed tick", self._report_failure(watch, exc))
        finally:
            self._steps.pop(key, None)
            if self._watches.get(key) is not watch:  # forgotten meanwhile: it may drain only now
                self._end(watch)

    async def _report_failure(self, watch: Watch, error: Exception) -> None:
        if self._ports.may_write():
            report = failed_report(watch, error)
            watch.reported = BROKEN
            await self._ports.reporter.report(watch.assignment.key, report)

    async def _release_ended(self) -> None:
        await release(self._ports, self._ended)
        self._ended = [watch for watch in self._ended if watch.scale_in.is_under_way]

    async def _pause(self) -> None:
        """Wait until the next read is due; a wake-up brings that forward."""
        settings, wake = self._ports.settings, Wake.NONE
        while (left_s := self._pace.due_at_s(settings, wake) - self._ports.clock()) > 0:
            wake = await self._woken_within(left_s, wake)

    async def _woken_within(self, timeout_s: float, above: Wake) -> Wake:
        """Wait for the database's wake-up or our own; tell how much it matters."""
        if above is Wake.URGENT:
            await asyncio.sleep(timeout_s)
            return above
        theirs = asyncio.create_task(self._ports.source.wait(timeout_s, above=above))
        own = asyncio.create_task(self._woken.wait())
        waits = (theirs, own)
        try:
            await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            came = (await asyncio.gather(*waits, return_exceptions=True))[0]
        if self._woken.is_set():
            return Wake.URGENT
        return came if isinstance(came, Wake) else Wake.URGENT  # a source that fails: read soon

    async def _finish(self) -> None:
        """Leave nothing behind that only this loop would undo."""
        steps = tuple(self._steps.values())
        for task in steps:
            task.cancel()
        await asyncio.gather(*steps, return_exceptions=True)
        try:
            async with asyncio.timeout(FINISH_WITHIN_S):
                if self._ports.may_write():
                    self._ended.extend(self._watches.values())
                    await attempt("undo drains", self._release_ended())
                    learned = tuple(w for w in self._watches.values() if w.has_learned)
                    await self._upkeep.end(learned)
                    # A connection that was lost is made anew by now.
                    await attempt("undo drains", self._release_ended())
        except TimeoutError:
            logger.warning("the loop ended before everything was saved")
        for key in self._watches:
            self._ports.metrics.forget(key)
        await self._ports.source.close()


def note_shared(watches: Collection[Watch]) -> None:
    """Tell each whether QueueWorkers of other namespaces have their workers in the same database."""
    places = {watch.assignment.key.partition("/")[0] for watch in watches}
    for watch in watches:
        watch.shared = len(places) > 1
