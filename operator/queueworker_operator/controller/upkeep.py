"""What a loop does in its database beside deciding: sweeps, upkeep, records, states; a piece at a time."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from queueworker_operator.controller.history import RECORDS_IN_A_ROW
from queueworker_operator.controller.ports import Ports, Reading, attempt
from queueworker_operator.controller.watch import Watch
from queueworker_operator.lag import QueueLag

Piece = Callable[[], Awaitable[None]]

TEND = "tend queues without workers"
RECORD = "record decisions"
MAINTAIN = "do the upkeep"
SAVE = "save what was learned"


class Upkeep:
    """Does what no worker is there to do, and stores what was decided and learned; the leader's alone.

    All of it shares the database's one connection with the next read and its decisions: of one tick
    it takes a bounded time. The next tick goes on where this one stopped.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._tended: dict[str, tuple[float, int]] = {}
        self._maintained_at_s = float("-inf")
        self._turns = deque((TEND, RECORD, MAINTAIN, SAVE))

    async def keep_up(self, watches: Sequence[Watch], reading: Reading) -> None:
        """Do what is due, a piece of each kind by turns, until the time for it is over."""
        until_s = self._ports.clock() + self._ports.settings.upkeep_s
        due = {
            TEND: self._tending(reading),
            RECORD: self._recording(),
            MAINTAIN: self._maintaining(),
            SAVE: self._saving(watches),
        }
        while any(due.values()):
            what = self._turns[0]
            self._turns.rotate(-1)
            if due[what]:
                await attempt(what, due[what].popleft()())
                if self._ports.clock() >= until_s:
                    return

    async def end(self, watches: Sequence[Watch]) -> None:
        """Write all records, then store what is learned about `watches`."""
        for piece in self._recording():
            await attempt(RECORD, piece())
        for some in self._batches(watches):
            await attempt(SAVE, self._save(some))

    def _batches(self, things: Sequence[Any]) -> Iterator[Sequence[Any]]:
        size = self._ports.settings.at_once
        return (things[first : first + size] for first in range(0, len(things), size))

    def _recording(self) -> deque[Piece]:
        history = self._ports.history
        return deque(partial(history.write, some) for some in self._batches(history.noted()))

    def _saving(self, watches: Sequence[Watch]) -> deque[Piece]:
        due = sorted(filter(self._is_save_due, watches), key=lambda watch: watch.saved_at_s or 0.0)
        return deque(partial(self._save, some) for some in self._batches(due))

    async def _save(self, watches: Sequence[Watch]) -> None:
        states: dict[str, Mapping[str, Any]] = {}
        for number, watch in enumerate(watches):
            watch.saved_at_s = self._ports.clock()
            watch.saved_asleep = watch.is_asleep
            states[watch.assignment.key] = watch.to_record()
            if number % RECORDS_IN_A_ROW == 0:
                await asyncio.sleep(0)
        await self._ports.source.save_states(states)

    def _tending(self, reading: Reading) -> deque[Piece]:
        """Plan a worker's sweep where none lives: at once when the last one went, then again."""
        now_s = self._ports.clock()
        alone = {queue: lag for queue, lag in reading.lags.rows.items() if not lag.workers}
        never = (float("-inf"), 0)
        self._tended = {queue: self._tended.get(queue, never) for queue in alone}
        late = [queue for queue, lag in alone.items() if self._is_tending_due(queue, lag, now_s)]
        due = sorted(late, key=lambda queue: (self._tended[queue], queue))
        return deque(partial(self._tend, some, alone) for some in self._batches(due))

    async def _tend(self, queues: Sequence[str], lags: Mapping[str, QueueLag]) -> None:
        now_s = self._ports.clock()
        self._tended.update({queue: (now_s, lags[queue].revision) for queue in queues})
        await self._ports.source.tend(queues)

    def _is_tending_due(self, queue: str, lag: QueueLag, now_s: float) -> bool:
        settings, (tended_at_s, revision) = self._ports.settings, self._tended[queue]
        at_rest = bool(revision) and revision == lag.revision and not (lag.ready or lag.running)
        if not at_rest:
            return now_s - tended_at_s >= settings.tend_every_s
        return now_s - tended_at_s >= (settings.rest_s if lag.scheduled else settings.asleep_s)

    def _maintaining(self) -> deque[Piece]:
        """Plan to make partitions ahead and remove what is old, where a queue has no worker to do it."""
        every_s = self._ports.settings.maintain_every_s
        is_due = self._ports.clock() - self._maintained_at_s >= every_s
        return deque([self._maintain] if self._tended and is_due else [])

    async def _maintain(self) -> None:
        self._maintained_at_s = self._ports.clock()
        if await self._ports.source.maintain():
            self._maintained_at_s = float("-inf")

    def _is_save_due(self, watch: Watch) -> bool:
        if not watch.has_learned:
            return False
        now_s = self._ports.clock()
        if watch.saved_at_s is None:
            watch.saved_at_s = now_s
        settings, slept_on = self._ports.settings, watch.saved_asleep and watch.is_asleep
        return now_s - watch.saved_at_s >= (settings.asleep_s if slept_on else settings.rest_s)
