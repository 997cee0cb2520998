"""The running loops: one for each database, as long as a QueueWorker needs it."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.handlers.secrets import Database

logger = logging.getLogger(__name__)

# A loop that ends stores what it learned within 5 s, or not at all.
HANDOVER_S = 6.0

NewLoop = Callable[[Database], DatabaseLoop]


@dataclass(slots=True)
class Running:
    """One loop, its task, and whose size it keeps."""

    loop: DatabaseLoop
    task: asyncio.Task[None]
    assignments: dict[str, Assignment]


class Loops:
    """Starts, feeds and stops the loops.

    Args:
        new_loop: Makes the loop of one database; called again after a loop failed.
    """

    def __init__(self, new_loop: NewLoop) -> None:
        self._new_loop = new_loop
        self._running: dict[Database, Running] = {}
        # Whose size it kept, of each loop that stores what it learned.
        self._ending: dict[asyncio.Task[None], frozenset[str]] = {}

    def settle(self, wanted: Mapping[str, tuple[Database, Assignment]]) -> None:
        """Make the loops keep exactly `wanted`."""
        by_database: dict[Database, list[Assignment]] = {}
        for database, assignment in wanted.values():
            by_database.setdefault(database, []).append(assignment)
        for database in set(self._running) - set(by_database):
            self._stop(database)
        for database, assignments in by_database.items():
            keys = {assignment.key for assignment in assignments}
            self._feed(self._of(database, keys), assignments)

    def ticked_at_s(self) -> list[float]:
        """Give when each loop last ended a tick (monotonic)."""
        return [running.loop.last_tick_at for running in self._running.values()]

    async def stop(self) -> None:
        """Stop all loops; each stores what it learned."""
        for database in tuple(self._running):
            self._stop(database)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _of(self, database: Database, keys: Collection[str]) -> Running:
        running = self._running.get(database)
        if running is not None and not running.task.done():
            return running
        loop = self._new_loop(database)
        ending = [task for task, of_task in self._ending.items() if not of_task.isdisjoint(keys)]
        task = asyncio.create_task(_run_after(ending, loop), name="queueworker-database")
        task.add_done_callback(_tell_failure)
        self._running[database] = running = Running(loop=loop, task=task, assignments={})
        return running

    def _feed(self, running: Running, assignments: Collection[Assignment]) -> None:
        wanted = {assignment.key: assignment for assignment in assignments}
        for key in running.assignments.keys() - wanted.keys():
            running.loop.forget(key)
        for key, assignment in wanted.items():
            if running.assignments.get(key) != assignment:
                running.loop.assign(assignment)
        running.assignments = wanted

    def _stop(self, database: Database) -> None:
        stopped = self._running.pop(database)
        self._ending[stopped.task] = frozenset(stopped.assignments)
        stopped.task.add_done_callback(self._ending.pop)
        stopped.task.cancel()


async def _run_after(ending: Collection[asyncio.Task[None]], loop: DatabaseLoop) -> None:
    """Run a loop once those that kept the same sizes have stored what they learned: it goes on with it."""
    if ending:
        await asyncio.wait(ending, timeout=HANDOVER_S)
    await loop.run()


def _tell_failure(task: asyncio.Task[None]) -> None:
    """Log a loop that ended by an error: the next settling starts it anew."""
    if not task.cancelled() and task.exception() is not None:
        logger.error("a database's loop failed and is started again", exc_info=task.exception())
