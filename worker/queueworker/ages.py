"""How old the oldest transaction and the oldest transaction id of the database are, for alerts."""

import asyncio
import random

from queueworker.errors import DatabaseError
from queueworker.link import Link
from queueworker.metrics import OLDEST_TRANSACTION, TRANSACTION_ID_AGE
from queueworker.statements import statement
from queueworker.store import Store

EVERY_S = 30.0


class AgeWatch:
    """Reads the ages now and then; while the database is away they keep their last values."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        while True:
            try:
                await self._link.call(_read)
                failures = 0
            except DatabaseError as exc:
                await self._link.pause(failures, exc)
                failures += 1
                continue
            await asyncio.sleep(EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311 - jitter


async def _read(store: Store) -> None:
    ((oldest_s, id_age),) = await store.fetch(statement("database_ages"), {})
    OLDEST_TRANSACTION.set(oldest_s)
    TRANSACTION_ID_AGE.set(id_age)
