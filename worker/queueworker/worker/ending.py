"""The last part of a worker's life: from the signal until everything is written or given back."""

import logging
import time

from queueworker.complete import Completer
from queueworker.drain import Phase
from queueworker.link import Link
from queueworker.metrics import DRAIN, DRAIN_RELEASED
from queueworker.text import counted
from queueworker.within import within
from queueworker.worker.hand import Hand

logger = logging.getLogger(__name__)

CLAIM_SHARE, FLUSH_SHARE = 0.2, 0.7


async def drained(hand: Hand, claims: Link, completer: Completer) -> bool:
    """Wait for the signal, then for the end of the drain; give whether everything was settled."""
    while not hand.drain.is_ending:
        await hand.moved.wait()
        hand.moved.clear()
    began_s = time.monotonic()
    while hand.is_busy and hand.drain.phase(time.monotonic()) is Phase.DRAINING:
        await within(hand.drain.remaining_s(time.monotonic()), hand.moved.wait())
        hand.moved.clear()
    # The jobs of a claim that is under way go back uncharged as well.
    await within(_budget_s(hand, CLAIM_SHARE), claims.answered())
    released = hand.release_running("the grace is over")
    DRAIN_RELEASED.inc(released)
    if completer.unwritten:
        await within(_budget_s(hand, FLUSH_SHARE), completer.flushed())
    if left := completer.unwritten:
        logger.error("%s could not be written: the database is away", counted(left, "result"))
    DRAIN.observe(time.monotonic() - began_s)
    back = counted(released, "running job was", "running jobs were")
    logger.info("drained: %s given back", back)
    return left == 0


def _budget_s(hand: Hand, share: float) -> float:
    return hand.drain.remaining_s(time.monotonic()) + share * hand.drain.release_s
