"""Cancelled jobs: asked for by producers, stopped by the worker that runs them.

A worker is told by NOTIFY. What that does not reach (no LISTEN behind a pooler, a claim whose answer
was on its way) it finds by asking once a second.
"""

import asyncio
import logging
from collections.abc import Callable
from uuid import UUID

from queueworker.errors import DatabaseError
from queueworker.link import Link

logger = logging.getLogger(__name__)

EVERY_S = 1.0

Stop = Callable[[int], bool]
"""Stops a job by its id; gives whether it was in hand."""


class Cancellations:
    """Asks for the cancelled runs of this worker, and stops them."""

    def __init__(self, link: Link, stop: Stop, worker_id: Callable[[], UUID | None]) -> None:
        self._link = link
        self._stop = stop
        self._worker_id = worker_id
        self._stopped: set[int] = set()

    def heard(self, job_id: str) -> None:
        """Take a notification; most are about other workers' jobs."""
        if job_id.isdecimal() and self._stop(int(job_id)):
            logger.info("job %s is cancelled", job_id)
            self._stopped.add(int(job_id))

    async def run(self) -> None:
        """Ask until cancelled."""
        failures = 0
        while True:
            try:
                await self._look()
                failures = 0
            except DatabaseError as exc:
                await self._link.pause(failures, exc)
                failures += 1
            await asyncio.sleep(EVERY_S)

    async def _look(self) -> None:
        worker_id = self._worker_id()
        if worker_id is None:
            return
        stopped = list(self._stopped)
        for job_id in await self._link.call(lambda store: store.cancelled_runs(worker_id, stopped)):
            self.heard(str(job_id))
        self._stopped.difference_update(stopped)
