"""Tell the lease thread, the metrics and the probes how the worker is; twice a second or on change."""

import asyncio
import time

from queueworker.drain import Phase
from queueworker.lease import LeaseKeeper, Load
from queueworker.metrics import HELD, SLOTS
from queueworker.within import within
from queueworker.worker.hand import Hand
from queueworker.worker.waiting import MARK_S

EVERY_S = 0.5
LEAST_EVERY_S = 0.05
MOST_STALL_S = 90.0


class Reporter:
    """Publishes the load, and gives back jobs that waited too long for a slot."""

    def __init__(self, hand: Hand, keeper: LeaseKeeper) -> None:
        self._hand = hand
        self._keeper = keeper
        self._beat_s = time.monotonic()

    def why_not_live(self) -> str | None:
        """Say what hangs; None when nothing does."""
        stalled_s = time.monotonic() - self._beat_s
        if stalled_s > MOST_STALL_S:
            return f"the event loop has been blocked for {stalled_s:.0f} s"
        if self._hand.executors.stuck >= self._hand.slots.count:
            return "all slots are taken by threads that run past their timeout"
        return None

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            self.publish()
            await asyncio.sleep(LEAST_EVERY_S)
            await within(EVERY_S - LEAST_EVERY_S, self._hand.busy_changed.wait())
            self._hand.busy_changed.clear()

    def publish(self) -> None:
        """Report once."""
        now_s = self._beat_s = time.monotonic()
        hand, slots = self._hand, self._hand.slots
        hand.give_back_waiting("waited too long for a slot", now_s)
        if slots.stalled_s(now_s) > MARK_S:
            hand.waiting.stalled()
        slots.fill()
        if hand.room():
            hand.changed()
        running, held = slots.running, hand.waiting.held
        load = Load(
            slots=slots.count,
            busy=slots.busy,
            held=held,
            draining=hand.drain.phase(now_s) is not Phase.RUNNING,
            oldest_started_at_s=min((slot.started_s for slot, _ in running), default=None),
            busy_by_queue=slots.by_queue(),
            held_by_queue=hand.waiting.by_queue(),
        )
        self._keeper.report(load)
        SLOTS.labels("busy").set(load.busy)
        SLOTS.labels("free").set(max(0, load.slots - load.busy))
        HELD.set(load.held)
