"""Whose lease ends when a pod has died or its container has restarted."""

import pytest
from tests.support.loops import assigned, execute, fixed, looping, run
from tests.support.targets import PodTarget

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(("age", "reports_until_gone"), [("1 hour", 3), ("0 s", 10)])
def test_a_pod_that_died_loses_its_lease_at_once_and_a_young_one_soon(
    dsn: str, age: str, reports_until_gone: int
) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(2),
            looping(dsn, [assigned(target, fixed(2))]) as (_, reports),
        ):
            await execute(
                dsn, "UPDATE queueworker.worker SET started_at = started_at - %s::interval", age
            )
            await reports.next()
            target.crash("worker-0")
            await reports.next(reports_until_gone)
            rows = await execute(dsn, "SELECT pod FROM queueworker.worker ORDER BY pod")

        assert rows == [("worker-1",), ("worker-2",)]

    run(scene())


def test_the_new_worker_of_a_restarted_container_keeps_its_lease(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(1),
            looping(dsn, [assigned(target, fixed(1))]) as (_, reports),
        ):
            before = await execute(dsn, "SELECT id FROM queueworker.worker")
            target.restart("worker-0")
            await reports.next(10)
            after = await execute(dsn, "SELECT id FROM queueworker.worker")

        assert after == before

    run(scene())


@pytest.mark.parametrize("reports_between", [2, 10])
def test_a_worker_that_drains_after_its_container_restarted_keeps_its_lease(
    dsn: str, reports_between: int
) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(1),
            looping(dsn, [assigned(target, fixed(1))]) as (_, reports),
        ):
            [(drains,)] = await execute(dsn, "SELECT id FROM queueworker.worker")
            target.restart("worker-0")
            await reports.next(reports_between)
            target.evict("worker-0")
            await reports.next(10)
            after = await execute(dsn, "SELECT id FROM queueworker.worker")

        assert (drains,) in after

    run(scene())
