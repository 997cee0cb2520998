"""Rescue jobs that no one would run: here those of a claim whose answer was lost.

The jobs of dead workers are rescued by every sweep, in the database.
"""

import logging
from uuid import UUID

from queueworker.link import Link
from queueworker.text import counted

logger = logging.getLogger(__name__)


class LostAnswers:
    """Notices that the claiming connection was opened anew, and gives back what it had claimed.

    A claim may have been committed although its answer never came. Its jobs would stay with this
    worker as long as its lease lives.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._opened = 0

    async def check(self, worker_id: UUID | None) -> None:
        """Look once after each reconnection; to be called while no claim is under way."""
        if worker_id is None or self._link.opened == self._opened:
            return
        opened = self._link.opened
        count = await self._link.call(lambda store: store.return_unseen(worker_id))
        self._opened = opened
        if count:
            found = counted(count, "job was", "jobs were")
            logger.warning("%s given back: their claims had no answer", found)
