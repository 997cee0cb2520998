"""Drains whose answer or whose undoing was lost are undone all the same."""

from collections.abc import Collection
from dataclasses import replace

import pytest
from tests.support.loops import HASTY, KEY, assigned, fixed, looping, run
from tests.support.targets import Pod, PodTarget

from queueworker.compat import override
from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag.postgres import PostgresLag

pytestmark = pytest.mark.postgres


class Forgetful(PostgresLag):
    """Drains, and then loses the answer: the caller does not know that it happened."""

    lost = False

    @override
    async def set_drain(
        self, worker_ids: Collection[str], *, drain: bool, for_s: float | None = None
    ) -> None:
        await super().set_drain(worker_ids, drain=drain, for_s=for_s)
        if drain:
            self.lost = True
            raise LagUnavailable("the answer was lost")


def test_a_drain_whose_answer_was_lost_is_undone_when_demand_is_back(dsn: str) -> None:
    async def scene() -> None:
        target, source = PodTarget(dsn, ("mail",)), Forgetful(dsn)
        async with (
            target.running(3),
            looping(dsn, [assigned(target, fixed(3))], settings=HASTY, source=source) as (
                loop,
                reports,
            ),
        ):
            await reports.next(2)
            for pod in target.pods_by_name.values():
                pod.busy = 1
            await target.until_renewed()
            loop.assign(assigned(target, fixed(1)))
            await target.until(
                lambda: any(pod.draining for pod in target.pods_by_name.values()) and source.lost
            )
            loop.assign(assigned(target, fixed(3)))
            await target.until(
                lambda: not any(pod.draining for pod in target.pods_by_name.values())
            )

        assert target.writes == []

    run(scene())


class Interrupted(PostgresLag):
    """Its QueueWorker is deleted while a drain is on its way."""

    loop: DatabaseLoop | None = None

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.asked: list[bool] = []

    @override
    async def set_drain(
        self, worker_ids: Collection[str], *, drain: bool, for_s: float | None = None
    ) -> None:
        if drain and self.loop is not None:
            self.loop.forget(KEY)
        await super().set_drain(worker_ids, drain=drain, for_s=for_s)
        self.asked.append(drain)


def test_a_drain_that_crosses_a_deletion_is_undone(dsn: str) -> None:
    async def scene() -> None:
        target, source = PodTarget(dsn, ("mail",)), Interrupted(dsn)
        async with (
            target.running(2),
            looping(dsn, [assigned(target, fixed(2))], settings=HASTY, source=source) as (
                loop,
                reports,
            ),
        ):
            await reports.next(2)
            for pod in target.pods_by_name.values():
                pod.busy = 1
            await target.until_renewed()
            source.loop = loop
            loop.assign(assigned(target, fixed(1)))
            await target.until(lambda: source.asked == [True, False])

    run(scene())


class Interrupting(PostgresLag):
    """Loses its connection when drains are undone for the first time."""

    lost = False

    @override
    async def set_drain(
        self, worker_ids: Collection[str], *, drain: bool, for_s: float | None = None
    ) -> None:
        if not drain and not self.lost:
            self.lost = True
            raise LagUnavailable("the connection was lost")
        await super().set_drain(worker_ids, drain=drain, for_s=for_s)


@pytest.mark.parametrize("forget", [True, False])
def test_drains_whose_undoing_failed_are_undone_at_the_next_try(dsn: str, forget: bool) -> None:
    async def scene() -> None:
        one, two = (PodTarget(dsn, (queue,)) for queue in ("mail", "bulk"))
        assignments = [
            Assignment(key=f"default/{queue}", queues=(queue,), policy=fixed(1), target=target)
            for queue, target in (("mail", one), ("bulk", two))
        ]
        settings = replace(HASTY, patience_min_s=60.0, patience_max_s=60.0)
        source = Interrupting(dsn)

        def draining() -> list[Pod]:
            pods = (*one.pods_by_name.values(), *two.pods_by_name.values())
            return [pod for pod in pods if pod.draining]

        async with one.running(2), two.running(2):
            for pod in (*one.pods_by_name.values(), *two.pods_by_name.values()):
                pod.busy = 1
            await one.until_renewed()
            await two.until_renewed()
            async with looping(dsn, assignments, settings=settings, source=source) as (loop, _):
                await one.until(lambda: len(draining()) == 2)
                if forget:
                    for assignment in assignments:
                        loop.forget(assignment.key)
                    await one.until(lambda: not draining())
            await one.until(lambda: not draining())

        assert source.lost

    run(scene())
