"""Keep each decision's record: of a write before it, of all else when the database has time for it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from queueworker_operator.controller.record import Verdict, to_json
from queueworker_operator.errors import GrantMissing, LagUnavailable
from queueworker_operator.lag import LagSource

logger = logging.getLogger(__name__)

# Of each QueueWorker, while the database is away: the newest that asked for a size, and of the others.
MOST_ASKED = 200
MOST_UNWRITTEN = 20
# Making a record takes a while: between so many, whoever waits has a turn.
RECORDS_IN_A_ROW = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Noted:
    """A decision whose record is to be written; `asked` is what the target was asked for."""

    key: str
    at_s: float
    verdict: Verdict
    asked: int | None

    @property
    def is_write(self) -> bool:
        """Tell whether the target was asked for a size: no reason told may push it out."""
        return self.asked is not None


class History:
    """The records of one database's decisions; those that nothing waits for are noted and written later."""

    def __init__(self, source: LagSource, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._noted: dict[tuple[str, bool], deque[Noted]] = {}

    async def keep(self, key: str, verdict: Verdict, asked: int) -> bool:
        """Record what a target is about to be asked for; tell whether it may be.

        What was decided from the database's figures must be recorded there first. What was decided
        without them is noted: it is written when the database is back.
        """
        if verdict.sample is None:
            self.note(key, verdict, asked)
            return True
        try:
            await self._source.record_decision(key, to_json(verdict, asked))
        except GrantMissing as exc:
            logger.warning("%s: a decision is not recorded: %s", key, exc)
        except LagUnavailable as exc:
            logger.warning("%s: a decision is not recorded yet: %s", key, exc)
            return False
        return True

    def note(self, key: str, verdict: Verdict, asked: int | None = None) -> None:
        """Take a decision whose record nothing waits for."""
        entry = Noted(key=key, at_s=self._clock(), verdict=verdict, asked=asked)
        most = MOST_ASKED if entry.is_write else MOST_UNWRITTEN
        self._noted.setdefault((key, entry.is_write), deque(maxlen=most)).append(entry)

    def forget(self, key: str) -> None:
        """Let go what is noted of a deleted QueueWorker, but for its writes: each has its record."""
        self._noted.pop((key, False), None)

    def noted(self) -> list[Noted]:
        """List what is to be written, oldest first."""
        entries = (entry for of_key in self._noted.values() for entry in of_key)
        return sorted(entries, key=lambda entry: entry.at_s)

    async def write(self, some: Sequence[Noted]) -> None:
        """Write the records of `some`, in one statement.

        Raises:
            LagUnavailable: not all are written. They stay noted, but not what the database forbids:
                no later try would help.
        """
        records = []
        for number, entry in enumerate(some):
            decided_ago_s = max(self._clock() - entry.at_s, 0.0)
            record = to_json(entry.verdict, entry.asked)
            records.append((entry.key, {**record, "decided_ago_s": decided_ago_s}))
            if number % RECORDS_IN_A_ROW == 0:
                await asyncio.sleep(0)
        writes = (self._source.record_decision(key, record) for key, record in records)
        answers = await asyncio.gather(*writes, return_exceptions=True)
        for entry, answer in zip(some, answers, strict=True):
            if answer is None or isinstance(answer, GrantMissing):
                self._drop(entry)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer

    def _drop(self, entry: Noted) -> None:
        place = (entry.key, entry.is_write)
        of_key = self._noted.get(place, deque())
        if entry in of_key:  # else newer ones have pushed it out meanwhile
            of_key.remove(entry)
        if not of_key:
            self._noted.pop(place, None)
