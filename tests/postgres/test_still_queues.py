"""Queues in which nothing happens cost next to nothing, and are answered at once when it does."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.support.loops import Reports, enqueue, execute, looping
from tests.support.targets import PodTarget

from queueworker.compat import override
from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import Mode, Policy, Window
from queueworker_operator.report import Fact, Report
from queueworker_operator.settings import LoopSettings

pytestmark = pytest.mark.postgres

POLICY = Policy(max_replicas=50, slots_per_pod=4, mode=Mode.DRY_RUN)
QUEUES = [f"queue-{number:02}" for number in range(60)]
CALLS = "SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname = ANY (%s)"


class QuietTarget(PodTarget):
    """A target to which nothing happens."""

    @override
    def stamp(self) -> object:
        return self.writes_count()

    def writes_count(self) -> int:
        return len(self.writes)


def assignments(dsn: str, policy: Policy = POLICY) -> list[Assignment]:
    return [
        Assignment(
            key=f"default/{queue}",
            queues=(queue,),
            policy=policy,
            target=QuietTarget(dsn, (queue,)),
        )
        for queue in QUEUES
    ]


async def prepare(dsn: str) -> None:
    """Let every queue have had a job."""
    [[name]] = await execute(dsn, "SELECT current_database()")
    await execute(dsn, f"ALTER DATABASE \"{name}\" SET track_functions = 'all'")
    for queue in QUEUES:
        await enqueue(dsn, 1, queue)
    await execute(dsn, "DELETE FROM queueworker.job")


def steps(reports: Reports) -> int:
    return sum(map(len, reports.by_key.values()))


def test_a_queue_asleep_is_decided_each_ten_seconds_and_its_first_job_at_once(dsn: str) -> None:
    async def scene() -> None:
        await prepare(dsn)
        async with looping(dsn, assignments(dsn)) as (_, reports):
            await reports.next(2, key="default/queue-00")
            await asyncio.sleep(8.0)  # the sweeps of the first seconds are over
            before, began_s = steps(reports), time.monotonic()
            await asyncio.sleep(10.0)
            per_s = (steps(reports) - before) / (time.monotonic() - began_s)
            began_s = time.monotonic()
            await enqueue(dsn, 100, "queue-07")
            report = await reports.until(
                lambda report: bool(report.sample and report.sample.ready == 100),
                key="default/queue-07",
            )
            took_s = time.monotonic() - began_s

        assert per_s < len(QUEUES) / 5
        assert per_s > len(QUEUES) / 18
        assert took_s < 1.0
        assert report.decision is not None
        assert report.decision.desired > 0

    asyncio.run(scene())


def test_a_floor_of_the_schedule_comes_to_a_queue_asleep_with_the_next_read(dsn: str) -> None:
    eight = datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp()
    window = Window(cron="0 8 * * *", timezone="UTC", min_replicas=3, duration_s=3600.0)
    now_s = eight - 600.0

    async def scene() -> float:
        nonlocal now_s
        await prepare(dsn)
        wanted = assignments(dsn, replace(POLICY, schedule=(window,)))
        async with looping(dsn, wanted, wall_clock=lambda: now_s) as (_, reports):
            await asyncio.sleep(8.0)  # the sweeps of the first seconds are over
            report = await reports.next(key="default/queue-00")
            assert report.decision is not None
            assert report.decision.desired == 0
            now_s, began_s = eight - 1.0, time.monotonic()
            await reports.until(has_floor, key="default/queue-00")
            return time.monotonic() - began_s

    def has_floor(report: Report) -> bool:
        return report.decision is not None and report.decision.desired == window.min_replicas

    assert (
        asyncio.run(scene()) < 5.0
    )  # it was decided just before: the next time by the clock is 10 s


def test_queues_asleep_are_not_swept_nor_saved_again_and_again(dsn: str) -> None:
    async def scene() -> None:
        await prepare(dsn)
        settings = LoopSettings(rest_s=1.0)
        async with looping(dsn, assignments(dsn), settings=settings) as (_, reports):
            await reports.next(2, key="default/queue-00")
            await asyncio.sleep(12.0)
            # A session tells its counts when it is idle; the operator's is, between two reads.
            [[sweeps]] = await execute(dsn, CALLS, ["sweep", "maintain"])
            [[saved]] = await execute(dsn, CALLS, ["save_state"])
            [[idle]] = await execute(dsn, "SELECT count(*) FROM queueworker.queue WHERE idle")

        assert idle == len(QUEUES)
        assert 1 <= sweeps <= 5
        assert len(QUEUES) <= saved <= 2 * len(QUEUES)

    asyncio.run(scene())


def test_a_row_that_cannot_be_true_holds_its_own_queue_and_no_other(dsn: str) -> None:
    async def scene() -> None:
        await prepare(dsn)
        await execute(
            dsn,
            "UPDATE queueworker.queue_counter SET service_sum_s = 'NaN' WHERE queue_id = "
            "(SELECT id FROM queueworker.queue WHERE name = 'queue-01')",
        )
        for queue in ("queue-01", "queue-02"):
            await enqueue(dsn, 100, queue)
        async with looping(dsn, assignments(dsn)) as (_, reports):
            good = await reports.next(key="default/queue-02")
            bad = await reports.next(key="default/queue-01")

        assert good.decision is not None
        assert good.decision.desired > 0
        assert bad.decision is not None
        assert bad.decision.desired == 0
        assert "service_sum_s is nan" in bad.facts[Fact.METRICS_UNAVAILABLE]

    asyncio.run(scene())


def test_a_right_to_write_that_comes_or_goes_is_acted_upon_at_the_next_tick(dsn: str) -> None:
    async def scene() -> None:
        await prepare(dsn)
        leads = False
        wanted = assignments(dsn, replace(POLICY, mode=Mode.AUTO))
        async with looping(dsn, wanted, may_write=lambda: leads) as (_, reports):
            await asyncio.sleep(7.0)
            assert steps(reports) == 0
            leads, began_s = True, time.monotonic()
            await reports.next(key="default/queue-59")

        assert time.monotonic() - began_s < 3.0

    asyncio.run(scene())
