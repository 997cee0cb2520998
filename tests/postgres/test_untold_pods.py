"""A scale-in while pods are at work that the operator's caches were not told of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.support.loops import KEY, Reports, execute, looping
from tests.support.targets import PodTarget

from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.controller.record import difference
from queueworker_operator.decision.model import Policy
from queueworker_operator.report import Fact
from queueworker_operator.settings import LoopSettings

pytestmark = pytest.mark.postgres

POLICY = Policy(max_replicas=50, slots_per_pod=4)
PATIENT = LoopSettings(read_every_s=0.2, patience_min_s=60.0)


def assigned(target: PodTarget, replicas: int) -> Assignment:
    policy = replace(POLICY, replicas=replicas)
    return Assignment(key=KEY, queues=("mail",), policy=policy, target=target, generation=1)


@asynccontextmanager
async def eight_of_ten_untold(
    dsn: str, target: PodTarget
) -> AsyncIterator[tuple[DatabaseLoop, Reports]]:
    """Run ten pods, of which eight are busy and untold, and a loop that keeps them."""
    async with (
        target.running(10),
        looping(dsn, [assigned(target, 10)], settings=PATIENT) as (loop, reports),
    ):
        await reports.next(2)
        for name in list(target.pods_by_name)[2:]:
            target.pods_by_name[name].busy = 1
            target.untold.add(name)
        await target.until_renewed()
        yield loop, reports


def test_busy_pods_that_no_watch_told_of_are_drained_and_not_taken_for_unborn(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with eight_of_ten_untold(dsn, target) as (loop, reports):
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
        async with eight_of_ten_untold(dsn, target) as (loop, reports):
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
