"""A scale-in whose victims are not all marked when it is time to lower the replicas."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.support.loops import KEY, Reports, execute, looping
from tests.support.targets import PodTarget

from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.controller.record import difference
from queueworker_operator.decision.model import Policy
from queueworker_operator.report import Fact
from queueworker_operator.settings import LoopSettings

pytestmark = pytest.mark.postgres

PATIENT = LoopSettings(read_every_s=0.2, patience_min_s=60.0)


def assigned(target: PodTarget, replicas: int) -> Assignment:
    policy = Policy(max_replicas=50, slots_per_pod=4, replicas=replicas)
    return Assignment(key=KEY, queues=("mail",), policy=policy, target=target, generation=1)


@asynccontextmanager
async def five_of_ten_busy(
    dsn: str, target: PodTarget
) -> AsyncIterator[tuple[DatabaseLoop, Reports]]:
    """Run ten pods, of which the newest five are busy, and a loop that keeps them."""
    async with (
        target.running(10),
        looping(dsn, [assigned(target, 10)], settings=PATIENT) as (loop, reports),
    ):
        await reports.next(2)
        for name in list(target.pods_by_name)[5:]:
            target.pods_by_name[name].busy = 1
        await target.until_renewed()
        yield loop, reports


def test_only_victims_that_are_marked_are_scaled_in_for_and_the_rest_comes_next(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        target.marks_at_once = 2
        async with five_of_ten_busy(dsn, target) as (loop, _):
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
        async with five_of_ten_busy(dsn, target) as (loop, reports):
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
