"""How jobs share slots: as many at once as there are slots, each in a clean state."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from tests.unit.test_waiting import SOURCE, SUSPECT, job

from queueworker.job import ClaimedJob
from queueworker.worker.slots import Slot, Slots
from queueworker.worker.waiting import Batch, Waiting

Handler = Callable[[Slot, ClaimedJob], Awaitable[None]]
VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="clean")


class Bench:
    """Slots around a handler; `begun` and `ended` list what ran."""

    def __init__(self, count: int, handler: Handler) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.tasks: set[asyncio.Task[Any] | None] = set()
        self.stuck = 0
        self.handler = handler
        self.waiting = Waiting(count, lambda _batch, _count: None)
        self.slots = Slots(count, self.waiting, self.run, lambda: self.stuck)

    async def run(self, slot: Slot, job: ClaimedJob) -> float:
        self.begun.append(job.id)
        self.tasks.add(asyncio.current_task())
        try:
            await self.handler(slot, job)
        except asyncio.CancelledError:
            return 1.0
        self.ended.append(job.id)
        return 0.0

    def add(self, *jobs: ClaimedJob) -> None:
        self.waiting.add(Batch(SOURCE, jobs, len(jobs), 0.0))
        self.slots.fill()

    def add_suspect(self, job: ClaimedJob) -> None:
        batch = Batch(SOURCE, [job], 0, time.monotonic())
        self.waiting.add_suspect(batch)
        self.waiting.marked(batch, 1)
        self.slots.fill()

    def stop(self) -> None:
        self.waiting.take_back()
        self.slots.give_up()

    async def until_idle(self) -> None:
        idle = asyncio.Event()
        self.slots.freed = lambda: idle.set() if self.slots.is_idle else None
        if not self.slots.is_idle:
            async with asyncio.timeout(10):
                await idle.wait()


async def quick(_slot: Slot, _job: ClaimedJob) -> None: ...


async def forever(_slot: Slot, _job: ClaimedJob) -> None:
    await asyncio.sleep(3600)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_short_jobs_run_in_order_in_few_tasks() -> None:
    async def main() -> Bench:
        bench = Bench(100, quick)
        bench.add(*map(job, range(1000)))
        await bench.until_idle()
        return bench

    bench = asyncio.run(main())
    assert bench.begun == list(range(1000))
    assert len(bench.tasks) <= 50


def test_as_many_jobs_run_at_once_as_there_are_slots() -> None:
    async def main() -> Bench:
        bench = Bench(7, forever)
        bench.add(*map(job, range(30)))
        await turns()
        bench.stop()
        return bench

    bench = asyncio.run(main())
    assert bench.begun == list(range(7))


def test_a_job_never_sees_what_another_left_in_the_context() -> None:
    seen: list[str] = []

    async def soil(_slot: Slot, _job: ClaimedJob) -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("soiled")

    async def main() -> Bench:
        bench = Bench(2, soil)
        bench.add(*map(job, range(50)))
        await bench.until_idle()
        return bench

    bench = asyncio.run(main())
    assert len(bench.ended) == 50
    assert set(seen) == {"clean"}


def test_a_job_never_meets_a_cancellation_that_another_asked_for() -> None:
    async def cancel_own_task(_slot: Slot, _job: ClaimedJob) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def main() -> Bench:
        bench = Bench(1, cancel_own_task)
        bench.add(*map(job, range(20)))
        await bench.until_idle()
        return bench

    assert asyncio.run(main()).ended == list(range(20))


def test_given_up_jobs_are_cancelled_and_their_slots_are_free() -> None:
    async def main() -> tuple[Bench, list[int]]:
        bench = Bench(3, forever)
        bench.add(*map(job, range(3)))
        await turns()
        given_up = bench.slots.give_up()
        assert all(slot.is_given_up for slot, _ in given_up)
        assert bench.slots.is_idle
        bench.handler = quick
        bench.add(job(9, token=2))
        await turns()
        return bench, [job.id for _, job in given_up]

    bench, given_up = asyncio.run(main())
    assert sorted(given_up) == [0, 1, 2]
    assert bench.ended == [9]


def test_a_suspect_waits_until_the_database_knows_all_results() -> None:
    async def main() -> None:
        bench = Bench(4, quick)
        is_settled = False
        bench.slots.is_settled = lambda: is_settled
        bench.add(job(1))
        bench.add_suspect(job(2, crash_count=SUSPECT, token=2))
        await turns()
        assert bench.begun == [1]
        is_settled = True
        bench.slots.fill()
        await turns()
        assert bench.begun == [1, 2]

    asyncio.run(main())


def test_a_suspect_runs_alone_and_keeps_others_waiting() -> None:
    gates: dict[int, asyncio.Event] = {}

    async def gated(_slot: Slot, job: ClaimedJob) -> None:
        await gates.setdefault(job.id, asyncio.Event()).wait()

    async def main() -> None:
        bench = Bench(4, gated)
        bench.add(job(1), job(3))
        bench.add_suspect(job(2, crash_count=SUSPECT, token=2))
        await turns()
        assert bench.begun == [1, 3]
        gates[1].set()
        await turns()
        assert bench.begun == [1, 3]
        gates[3].set()
        await turns()
        assert bench.begun == [1, 3, 2]
        assert bench.slots.room() == 0
        gates[2].set()
        await turns()
        assert bench.slots.room() >= 4

    asyncio.run(main())


def test_a_suspect_that_is_cancelled_before_its_first_step_leaves_no_trace() -> None:
    async def main() -> None:
        bench = Bench(2, forever)
        bench.add_suspect(job(2, crash_count=SUSPECT))
        assert bench.slots.cancel(2)
        bench.handler = quick
        await turns()
        assert bench.slots.is_idle
        assert bench.slots.room() > 0

    asyncio.run(main())


def test_slots_tell_for_how_long_nothing_has_started() -> None:
    async def main() -> None:
        bench = Bench(2, forever)
        bench.add(job(1))
        await turns()
        assert bench.slots.stalled_s(time.monotonic() + 5) == 0
        bench.add(job(2))
        await turns()
        assert 5 <= bench.slots.stalled_s(time.monotonic() + 5) < 6
        bench.stop()

    asyncio.run(main())


def test_threads_that_were_given_up_keep_their_slots() -> None:
    async def main() -> None:
        bench = Bench(2, forever)
        bench.stuck = 2
        bench.add(job(1))
        await turns()
        assert bench.begun == []
        assert bench.slots.room() == 0
        bench.stuck = 1
        bench.slots.fill()
        await turns()
        assert bench.begun == [1]
        bench.stop()

    asyncio.run(main())


def test_other_work_of_the_loop_gets_its_turn_among_short_jobs() -> None:
    async def main() -> int:
        bench = Bench(10, quick)
        bench.add(*map(job, range(100_000)))
        turns_of_others = 0
        while not bench.slots.is_idle:
            await asyncio.sleep(0)
            turns_of_others += 1
        return turns_of_others

    assert asyncio.run(main()) > 5
