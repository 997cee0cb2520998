"""Which pods go first, and which drains are undone or taken over."""

from dataclasses import replace

import pytest
from tests.support.loops import HASTY, KEY, assigned, execute, fixed, looping, run
from tests.support.targets import PodTarget

from queueworker_operator.report import Fact

pytestmark = pytest.mark.postgres


def test_idle_pods_go_first_and_a_busy_one_is_never_ended(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(4),
            looping(dsn, [assigned(target, fixed(4))], settings=HASTY) as (loop, reports),
        ):
            await reports.next(2)
            busy = [target.pods_by_name[name] for name in ("worker-1", "worker-3")]
            for pod in busy:
                pod.busy = 2
            await target.until_renewed()
            loop.assign(assigned(target, fixed(1)))
            await target.until(lambda: len(target.pods()) == 2)
            idle_went_first = set(target.ended) == {"worker-0", "worker-2"}
            blocked = await reports.until(lambda report: Fact.SCALE_IN_BLOCKED in report.facts)
            busy[0].busy = 0
            loop.assign(assigned(target, fixed(2)))
            still = sorted(pod.name for pod in target.pods())

        assert idle_went_first
        assert target.ended_busy == []
        assert still == ["worker-1", "worker-3"]
        assert "still ran jobs" in blocked.facts[Fact.SCALE_IN_BLOCKED]

    run(scene())


def test_demand_back_undoes_drains_instead_of_starting_pods(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        settings = replace(HASTY, patience_min_s=60.0, patience_max_s=60.0)
        async with (
            target.running(3),
            looping(dsn, [assigned(target, fixed(3))], settings=settings) as (loop, reports),
        ):
            await reports.next(2)
            for pod in target.pods_by_name.values():
                pod.busy = 1
            await target.until_renewed()
            loop.assign(assigned(target, fixed(1)))
            await target.until(
                lambda: sum(pod.draining for pod in target.pods_by_name.values()) == 2
            )
            loop.assign(assigned(target, fixed(3)))
            await target.until(
                lambda: not any(pod.draining for pod in target.pods_by_name.values())
            )

        assert target.writes == []
        assert target.ended == []

    run(scene())


def test_drains_are_undone_when_the_operator_stops_or_forgets_the_queueworker(dsn: str) -> None:
    async def scene(*, forget: bool) -> None:
        target = PodTarget(dsn, ("mail",))
        settings = replace(HASTY, patience_min_s=60.0, patience_max_s=60.0)
        async with target.running(2):
            for pod in target.pods_by_name.values():
                pod.busy = 1
            await target.until_renewed()
            async with looping(dsn, [assigned(target, fixed(1))], settings=settings) as (loop, _):
                await target.until(
                    lambda: any(pod.draining for pod in target.pods_by_name.values())
                )
                if forget:
                    loop.forget(KEY)
                    await target.until(
                        lambda: not any(pod.draining for pod in target.pods_by_name.values())
                    )
            await target.until(
                lambda: not any(pod.draining for pod in target.pods_by_name.values())
            )

    run(scene(forget=False))
    run(scene(forget=True))


def test_drains_left_by_a_controller_that_died_are_taken_over(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with target.running(2):
            pod = target.pods_by_name["worker-0"]
            await execute(
                dsn, "SELECT queueworker.set_drain(ARRAY[%s]::uuid[], true)", pod.worker_id
            )
            await target.until(lambda: pod.draining)
            async with looping(dsn, [assigned(target, fixed(2))], settings=HASTY):
                await target.until(lambda: not pod.draining)

        assert target.writes == []

    run(scene())


def test_pods_that_a_quota_refused_go_first_and_no_living_pod_drains_for_them(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(3),
            looping(dsn, [assigned(target, fixed(3))], settings=HASTY) as (loop, reports),
        ):
            target.quota = 3
            await reports.next(2)
            loop.assign(assigned(target, fixed(10)))
            await reports.until(lambda report: report.written == 10)
            loop.assign(assigned(target, fixed(2)))
            first = await reports.until(lambda report: report.written is not None)
            living = len(target.pods())
            await target.until(lambda: len(target.pods()) == 2)

        assert first.written == 3
        assert living == 3
        assert [size for _, size in target.writes] == [10, 3, 2]

    run(scene())
