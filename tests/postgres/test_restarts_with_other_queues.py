"""A spec that changes its queues while no operator runs: what an added queue had is no arrival."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from tests.support.loops import KEY, enqueue, execute, looping
from tests.support.targets import PodTarget

from queueworker.compat import override
from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import Policy
from queueworker_operator.lag.postgres import PostgresLag

pytestmark = pytest.mark.postgres

POLICY = Policy(max_replicas=50, slots_per_pod=4)
FINISHED = 5000


def run(scene: Coroutine[object, object, None]) -> None:
    asyncio.run(scene)


def assigned(target: PodTarget, *queues: str) -> Assignment:
    return Assignment(key=KEY, queues=queues, policy=POLICY, target=target, generation=1)


async def add_history(dsn: str, queue: str) -> None:
    """Make a queue into which many jobs came, of which none is left."""
    await enqueue(dsn, FINISHED, queue)
    [(left,)] = await execute(
        dsn, "SELECT %s - queueworker.cancel_many(%s, most => %s)", FINISHED, queue, FINISHED
    )
    assert left == 0


@pytest.mark.parametrize(
    "meanwhile",
    ["SELECT", "UPDATE queueworker.operator_state SET state = state - 'queues'"],
    ids=["a record that names its queues", "one of an older operator"],
)
def test_a_queue_added_before_a_restart_scales_nothing_by_its_history(
    dsn: str, meanwhile: str
) -> None:
    async def scene() -> None:
        await enqueue(dsn, 1)
        await add_history(dsn, "reports")
        target = PodTarget(dsn, ("mail", "reports"))
        async with target.running(2):
            async with looping(dsn, [assigned(target, "mail")]) as (_, reports):
                await reports.until(lambda report: report.decision is not None)
            written = len(target.writes)
            await execute(dsn, meanwhile)
            async with looping(dsn, [assigned(target, "mail", "reports")]) as (loop, reports):
                watch = loop._watches[KEY]
                await reports.until(lambda _: watch.restored)
                saved_at_s = watch.observed_at_s or 0.0
                await reports.until(lambda _: (watch.observed_at_s or 0.0) > saved_at_s)
                after = await reports.next()

        assert after.decision is not None
        assert after.sample is not None
        assert after.sample.enqueued_total == FINISHED + 1
        assert after.decision.arrival_rate_per_s < 1
        assert [desired for _, desired in target.writes[written:] if desired > 2] == []

    run(scene())


class AddsAQueue(PostgresLag):
    """Calls `add` between the read of the queues and the first decision about them."""

    add: Callable[[], None]

    @override
    async def load_state(self, name: str) -> Mapping[str, Any] | None:
        stored = await super().load_state(name)
        self.add()
        return stored


def test_a_queue_added_while_the_stored_state_is_read_scales_nothing_by_its_history(
    dsn: str,
) -> None:
    async def scene() -> None:
        await enqueue(dsn, 1)
        await add_history(dsn, "reports")
        target = PodTarget(dsn, ("mail", "reports"))
        source = AddsAQueue(dsn)
        async with (
            target.running(2),
            looping(dsn, [assigned(target, "mail")], source=source) as (loop, reports),
        ):
            source.add = lambda: loop.assign(assigned(target, "mail", "reports"))
            watch = loop._watches[KEY]
            await reports.until(lambda _: watch.observed_at_s is not None)
            began_at_s = watch.observed_at_s or 0.0
            await reports.until(lambda _: (watch.observed_at_s or 0.0) > began_at_s)
            after = await reports.next()

        assert after.decision is not None
        assert after.sample is not None
        assert after.sample.enqueued_total == FINISHED + 1
        assert after.decision.arrival_rate_per_s < 1

    run(scene())
