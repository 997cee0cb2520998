"""A scale-in while pods are at work that the operator's caches were not told of."""

import asyncio

import pytest
from tests.support.loops import execute
from tests.support.targets import PodTarget
from tests.support.ten_pods import assigned, newest_busy

from queueworker_operator.controller.record import difference
from queueworker_operator.report import Fact

pytestmark = pytest.mark.postgres


def test_busy_pods_that_no_watch_told_of_are_drained_and_not_taken_for_unborn(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with newest_busy(dsn, target, 8, untold=True) as (loop, reports):
            loop.assign(assigned(target, 2))
            await target.until(lambda: len(target.pods()) == 8)
            await target.until(lambda: sum(p.draining for p in target.pods_by_name.values()) == 6)
            await reports.next(2)
            asked = [desired for _, desired in target.writes]
            for pod in target.pods_by_name.values():
                pod.busy = 0
            await target.until(lambda: len(target.pods()) == 2)
        records = await execute(dsn, "SELECT record FROM queueworker.decision")

        assert asked == [8]
        assert target.ended_busy == []
        assert [difference(record) for (record,) in records if difference(record)] == []

    asyncio.run(scene())


def test_a_scale_in_waits_while_nobody_can_tell_which_pods_there_are(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with newest_busy(dsn, target, 8, untold=True) as (loop, reports):
            target.is_cut_off = True
            loop.assign(assigned(target, 2))
            held = await reports.until(lambda report: Fact.SCALE_IN_BLOCKED in report.facts)
            again = await reports.next(3)
            asked = list(target.writes)
            target.is_cut_off = False
            await target.until(lambda: len(target.pods()) == 8)

        assert asked == []
        assert "the Kubernetes API does not answer" in held.facts[Fact.SCALE_IN_BLOCKED]
        assert Fact.SCALE_IN_BLOCKED in again.facts
        assert target.ended_busy == []

    asyncio.run(scene())
