"""Counts that no success goes with, written exactly once though an answer was lost.

What became of a result shows in its job. Counts alone leave no such trace, so they are written in
a transaction whose id is known first: the database tells whether that was committed.
"""

from dataclasses import dataclass

from queueworker.store import NO_DELTA, QueueRow, StatDelta, Store


@dataclass(slots=True, kw_only=True)
class _Entry:
    queue: QueueRow
    delta: StatDelta
    xid: str | None = None

    def entered(self, xid: str) -> None:
        """Remember the transaction that writes this."""
        self.xid = xid


class Counts:
    """What is not known to be written."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, queue: QueueRow, delta: StatDelta) -> None:
        """Write counts soon."""
        if delta is not NO_DELTA:
            self._entries.append(_Entry(queue=queue, delta=delta))

    def drop(self) -> None:
        """Give up: the database refuses them."""
        self._entries.clear()

    async def write(self, store: Store) -> None:
        """Write all; what a transaction that is still open may write is looked at the next time."""
        for entry in list(self._entries):
            outcome = None if entry.xid is None else await store.outcome(entry.xid)
            if outcome == "in progress":
                continue
            if outcome != "committed":
                await store.count(entry.queue, entry.delta, entry.entered)
            self._entries.remove(entry)
