"""The claimer between its queue and its hand, on a real Postgres."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from tests.support.engine import engine

from queueworker.claim import Claimer, Pace, Source
from queueworker.dsn import Dsn
from queueworker.job import ClaimedJob
from queueworker.link import Link

pytestmark = pytest.mark.postgres


class Recorder:
    """A hand with room for ever; each job it gets becomes a task, as slots make them."""

    def __init__(self, worker: UUID) -> None:
        self.events: list[str] = []
        self.done = asyncio.Event()
        self._worker = worker
        self._tasks: set[asyncio.Task[None]] = set()

    def room(self) -> int:
        return 10

    def startable(self, count: int) -> int:
        return count

    def worker_id(self) -> UUID:
        return self._worker

    def in_hand(self, queue: str) -> int:
        return len(queue) * 0

    def accept(
        self, source: Source, worker_id: UUID, jobs: Sequence[ClaimedJob], marked: int
    ) -> None:
        assert (source.queue.name, worker_id, marked) == ("mail", self._worker, len(jobs))
        self._tasks |= {asyncio.create_task(self._run()) for _ in jobs}

    def paused(self, source: Source) -> None:
        raise AssertionError(source)

    async def before_claim(self, worker_id: UUID | None) -> None:
        self.events.append("claim" if worker_id == self._worker else "stranger")
        if self.events.count("claim") > 1:
            self.done.set()

    async def _run(self) -> None:
        self.events.append("start")


def test_claimed_jobs_start_before_the_next_claim_is_made(dsn: str) -> None:
    async def scenario() -> list[str]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            source = Source(e.queue, 1, Pace(poll_s=1.0))
            source.hints.learn(await e.store.lanes(e.queue.id, ("a",)))
            hand = Recorder(await e.worker())
            link = Link(Dsn.parse(dsn), "claims")
            run = asyncio.create_task(Claimer(link, [source], hand, hand.before_claim).run())
            await asyncio.wait_for(hand.done.wait(), 10)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            await link.close()
            return hand.events

    assert asyncio.run(scenario())[:3] == ["claim", "start", "claim"]
