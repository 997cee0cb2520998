"""What a loop does in its database beside deciding, in few statements: sweeps, upkeep, states."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from queueworker_operator.controller.ports import Ports, Reading, attempt
from queueworker_operator.controller.watch import Watch
from queueworker_operator.lag import QueueLag

# Making a state's record takes a while: between so many, whoever waits has a turn.
RECORDS_IN_A_ROW = 20


class Upkeep:
    """Does what no worker is there to do, and stores what was learned; the leader's alone."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._tended: dict[str, tuple[float, int]] = {}
        self._maintained_at_s = float("-inf")

    async def keep_up(self, watches: Sequence[Watch], reading: Reading) -> None:
        """Do what is due."""
        await attempt("tend queues without workers", self._tend(reading))
        await attempt("do the upkeep", self._maintain())
        due = tuple(watch for watch in watches if self._is_save_due(watch))
        await attempt("save what was learned", self.save(due))

    async def save(self, watches: Sequence[Watch]) -> None:
        """Store what is learned about `watches`."""
        at_once = self._ports.settings.at_once
        for first in range(0, len(watches), at_once):
            states: dict[str, Mapping[str, Any]] = {}
            for number, watch in enumerate(watches[first : first + at_once]):
                watch.saved_at_s = self._ports.clock()
                states[watch.assignment.key] = watch.to_record()
                if number % RECORDS_IN_A_ROW == 0:
                    await asyncio.sleep(0)
            await self._ports.source.save_states(states)

    async def _tend(self, reading: Reading) -> None:
        """Do a worker's sweep where none lives: at once when the last one went, then again."""
        now_s = self._ports.clock()
        alone = {queue: lag for queue, lag in reading.lags.rows.items() if not lag.workers}
        never = (float("-inf"), 0)
        self._tended = {queue: self._tended.get(queue, never) for queue in alone}
        late = [queue for queue, lag in alone.items() if self._is_tending_due(queue, lag, now_s)]
        due = sorted(late, key=lambda queue: (self._tended[queue], queue))
        due = due[: self._ports.settings.at_once]
        if due:
            self._tended.update({queue: (now_s, alone[queue].revision) for queue in due})
            await self._ports.source.tend(due)

    def _is_tending_due(self, queue: str, lag: QueueLag, now_s: float) -> bool:
        settings, (tended_at_s, revision) = self._ports.settings, self._tended[queue]
        at_rest = bool(revision) and revision == lag.revision and not (lag.ready or lag.running)
        every_s = settings.tend_rest_s if at_rest else settings.tend_every_s
        return now_s - tended_at_s >= every_s

    async def _maintain(self) -> None:
        """Make partitions ahead and remove what is old, where a queue has no worker to do it."""
        now_s, every_s = self._ports.clock(), self._ports.settings.maintain_every_s
        if self._tended and now_s - self._maintained_at_s >= every_s:
            self._maintained_at_s = now_s
            if await self._ports.source.maintain():
                self._maintained_at_s = float("-inf")

    def _is_save_due(self, watch: Watch) -> bool:
        if not watch.has_learned:
            return False
        now_s = self._ports.clock()
        if watch.saved_at_s is None:
            watch.saved_at_s = now_s
        return now_s - watch.saved_at_s >= self._ports.settings.save_every_s
