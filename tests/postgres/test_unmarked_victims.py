"""A scale-in whose victims are not all marked when it is time to lower the replicas."""

import asyncio

import pytest
from tests.support.loops import execute
from tests.support.targets import PodTarget
from tests.support.ten_pods import assigned, newest_busy

from queueworker_operator.controller.record import difference
from queueworker_operator.report import Fact

pytestmark = pytest.mark.postgres


def test_only_victims_that_are_marked_are_scaled_in_for_and_the_rest_comes_next(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        target.marks_at_once = 2
        async with newest_busy(dsn, target, 5) as (loop, _):
            loop.assign(assigned(target, 5))
            await target.until(lambda: len(target.pods()) == 5)
        records = await execute(dsn, "SELECT record FROM queueworker.decision ORDER BY id")

        asked = [desired for _, desired in target.writes]
        assert target.ended_busy == []
        assert all(before - after <= 2 for before, after in zip([10, *asked], asked, strict=False))
        assert [r["asked"] for (r,) in records if r["asked"] is not None] == asked
        assert [difference(record) for (record,) in records if difference(record)] == []

    asyncio.run(scene())


def test_no_pod_goes_while_none_can_be_marked(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with newest_busy(dsn, target, 5) as (loop, reports):
            target.is_cut_off = True
            loop.assign(assigned(target, 5))
            held = await reports.until(lambda report: Fact.SCALE_IN_BLOCKED in report.facts)
            await reports.next(3)
            asked = list(target.writes)
            target.is_cut_off = False
            await target.until(lambda: len(target.pods()) == 5)

        assert asked == []
        assert "the Kubernetes API does not answer" in held.facts[Fact.SCALE_IN_BLOCKED]
        assert target.ended_busy == []

    asyncio.run(scene())
