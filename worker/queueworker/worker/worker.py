"""A worker process: claims, runs, completes, renews, sweeps, listens and drains in one TaskGroup."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from uuid import UUID

from queueworker.ages import AgeWatch
from queueworker.app import App
from queueworker.cancel import Cancellations
from queueworker.claim import Claimer, Pace, Source
from queueworker.complete import Completer
from queueworker.errors import QueueWorkerError
from queueworker.health import HealthServer
from queueworker.lease import LeaseKeeper
from queueworker.link import Link
from queueworker.listen import Listener
from queueworker.rescue import LostAnswers
from queueworker.settings import Settings
from queueworker.store import OpenClaims
from queueworker.sweep import Sweeper
from queueworker.text import counted
from queueworker.worker.ending import drained
from queueworker.worker.guard import Guard
from queueworker.worker.hand import Hand
from queueworker.worker.report import Reporter
from queueworker.worker.shell import look_for_shell
from queueworker.worker.start import queues_when_ready, why_not_ready, worker_row
from queueworker.worker.unknown_watch import UnknownWatch
from queueworker.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

STOP_LEASE_S = 2.0


class Worker:
    """Serves the queues of `settings` with the tasks of `app` until it is told to stop."""

    def __init__(self, app: App, settings: Settings) -> None:
        dsn = settings.required_dsn
        open_claims = OpenClaims()
        self._settings = settings
        self._tasks = [task.name for task in app.tasks]
        self._claims = Link(dsn, "claims", open_claims)
        self._writes = Link(dsn, "completions", open_claims)
        self._listens = Link(settings.listen_dsn or dsn, "listen")
        self._completer = Completer(self._writes)
        self._hand = Hand(app, settings, self._claims, self._completer)
        self._keeper = LeaseKeeper(dsn, worker_row(settings, self._tasks), self, open_claims)
        self._reporter = Reporter(self._hand, self._keeper)
        self._cancellations = Cancellations(self._writes, self._hand.cancel, self._hand.worker_id)
        self._watchdog = Watchdog(app.tasks)
        self._unknown = UnknownWatch(self._writes, [share.name for share in settings.queues])
        self._why_not_ready: str | None = "starting"
        links = (self._claims, self._writes)
        self._health = HealthServer(
            port=settings.port,
            is_live=self._why_not_live,
            is_ready=lambda: why_not_ready(self._why_not_ready, links, self._keeper.trouble),
        )
        self._guard = Guard(
            self._hand.drain,
            signalled=lambda now_s, name: self._in_loop(lambda: self._signalled(now_s, name)),
            last_resort=self._last_resort,
        )
        self._parts: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop
        self._group: asyncio.TaskGroup
        self._claimer: Claimer
        self._sweeper: Sweeper

    async def run(self) -> bool:
        """Work until SIGTERM and through the drain; give whether everything was settled.

        Raises:
            QueueWorkerError: the worker cannot start.
        """
        self._loop = asyncio.get_running_loop()
        self._health.start()
        self._guard.start()
        if (warning := look_for_shell()) is not None:
            logger.warning("%s", warning)
        is_settled = False
        try:
            async with asyncio.TaskGroup() as self._group:
                self._hand.spawn = self._spawn
                for work in (self._work(), self._watchdog.run()):
                    self._spawn(work)
                is_settled = await drained(self._hand, self._claims, self._completer)
                for part in list(self._parts):
                    part.cancel()
        except BaseExceptionGroup as group:
            if (errors := group.subgroup(QueueWorkerError)) is not None:
                raise _first(errors) from None
            raise
        finally:
            await self._end(exit_status=0 if is_settled else 1)
        return is_settled

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        part = self._group.create_task(work)
        self._parts.add(part)
        part.add_done_callback(self._parts.discard)

    # Starting

    async def _work(self) -> None:
        queues = await queues_when_ready(self._claims, self._settings.queues, self._say)
        pace = Pace(poll_s=self._settings.poll_s)
        shares = zip(queues, self._settings.queues, strict=True)
        sources = [Source(queue, share.weight, pace, share.most) for queue, share in shares]
        self._claimer = Claimer(self._claims, sources, self._hand, LostAnswers(self._claims).check)
        self._sweeper = Sweeper(self._writes, sources, self._tasks, self._claimer.wake)
        self._hand.changed = self._claimer.room_changed
        listener = Listener(self._listens, self._claims, self._heard, self._armed)
        self._say("waiting for a lease")
        self._keeper.start()
        tending = (self._sweeper, listener, self._reporter, self._cancellations)
        watching = (AgeWatch(self._claims), self._unknown)
        for part in (self._completer, *tending, *watching, self._claimer):
            self._spawn(part.run())

    def _say(self, reason: str | None) -> None:
        self._why_not_ready = reason

    def _why_not_live(self) -> str | None:
        if self._why_not_ready is None and not self._keeper.is_alive:
            return "the lease thread has ended"
        return self._reporter.why_not_live()

    # What other threads and the database tell

    def _in_loop(self, act: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended: nothing is left to act on
            self._loop.call_soon_threadsafe(act)

    def gained(self, worker_id: UUID) -> None:
        """Take a new lease, from its thread."""
        self._in_loop(lambda: self._gained(worker_id))

    def lost(self) -> None:
        """Take the loss of the lease, from its thread."""
        self._in_loop(self._lost)

    def drain_asked(self, *, is_flagged: bool) -> None:
        """Take the operator's wish, from the lease's thread."""
        self._in_loop(lambda: self._drain_asked(is_flagged))

    def _gained(self, worker_id: UUID) -> None:
        self._hand.gained(worker_id)
        self._claimer.wake()
        self._unknown.ask()
        if not self._hand.drain.is_ending:
            self._say(None)
        logger.info(
            "ready: port %d, worker %s, queues %s, %s",
            self._health.port,
            worker_id,
            ", ".join(share.name for share in self._settings.queues),
            counted(self._settings.concurrency, "slot"),
        )

    def _lost(self) -> None:
        self._say("the lease is lost")
        self._hand.lost()

    def _drain_asked(self, is_flagged: bool) -> None:
        self._hand.drain_asked(is_flagged=is_flagged)
        # The operator waits for the answer.
        self._reporter.publish()
        self._keeper.renew_now()

    def _heard(self, kind: str, subject: str) -> None:
        match kind:
            case "job":
                self._claimer.wake(subject)
            case "drain":
                lease = self._keeper.current
                if lease is not None and subject == str(lease.worker_id):
                    self._keeper.renew_now()
            case "cancel":
                self._cancellations.heard(subject)
            case "lane" | "queue":
                self._sweeper.ask(subject)
                self._unknown.ask()
            case _:
                logger.debug("a notification of kind %r is not known", kind)

    def _armed(self, is_listening: bool) -> None:
        self._claimer.is_listening = is_listening
        if is_listening:
            # What was notified while nobody listened is found by looking.
            self._claimer.wake()
            self._sweeper.ask()

    # Stopping

    def _signalled(self, now_s: float, name: str) -> None:
        self._say(f"{name}: draining")
        self._hand.signalled(now_s, name)

    async def _end(self, exit_status: int) -> None:
        # From here on nothing hangs for longer than this: not the database, not a thread.
        drain = self._hand.drain
        self._guard.expire_in(drain.end_within_s(time.monotonic()), exit_status=exit_status)
        if self._keeper.is_alive:
            await asyncio.to_thread(self._keeper.stop, min(STOP_LEASE_S, drain.margin_s / 4))
        self._hand.executors.stop()
        for link in (self._claims, self._writes, self._listens):
            await link.close()
        self._health.stop()

    def _last_resort(self, within_s: float) -> bool:
        """Give the jobs back from the lease's thread: the loop is blocked by a handler."""
        if not self._keeper.is_alive:
            return False
        ends_s = time.monotonic() + within_s
        with suppress(TimeoutError):
            self._keeper.submit(self._hand.release_all).result(timeout=0.7 * within_s)
        # All that is left: against a handler that spins, each step of this thread waits its turn.
        is_stopped = self._keeper.stop(timeout_s=max(0.0, ends_s - time.monotonic()))
        return is_stopped and not self._completer.unwritten


def _first(errors: BaseExceptionGroup[QueueWorkerError]) -> QueueWorkerError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
