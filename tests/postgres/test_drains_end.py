"""No worker idles for an operator that is gone: a drain that it does not ask for again ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from tests.support.engine import engine
from tests.support.loops import KEY, execute, looping
from tests.support.targets import PodTarget

from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.decision.model import Policy
from queueworker_operator.settings import LoopSettings

pytestmark = pytest.mark.postgres

LASTS_S = 1.5
SETTINGS = LoopSettings(
    read_every_s=0.2, patience_min_s=60.0, patience_max_s=60.0, drain_lasts_s=LASTS_S
)


def sized(target: PodTarget, replicas: int) -> Assignment:
    policy = Policy(max_replicas=50, slots_per_pod=4, replicas=replicas)
    return Assignment(key=KEY, queues=("mail",), policy=policy, target=target, generation=1)


def draining(target: PodTarget) -> int:
    return sum(pod.draining for pod in target.pods_by_name.values())


@asynccontextmanager
async def sweeping(dsn: str) -> AsyncIterator[None]:
    """Do each tenth of a second what every worker does each second."""

    async def sweep() -> None:
        while True:
            await execute(dsn, "SELECT queueworker.rescue()")
            await asyncio.sleep(0.1)

    sweeps = asyncio.create_task(sweep())
    try:
        yield
    finally:
        sweeps.cancel()


@asynccontextmanager
async def scaling_in(
    dsn: str, alive: asyncio.Event
) -> AsyncIterator[tuple[PodTarget, DatabaseLoop]]:
    """Two busy pods of three are asked to drain by an operator that writes while it is `alive`."""
    target = PodTarget(dsn, ("mail",))
    alive.set()
    async with target.running(3), sweeping(dsn):
        for pod in target.pods_by_name.values():
            pod.busy = 1
        await target.until_renewed()
        assignments = [sized(target, 1)]
        async with looping(dsn, assignments, may_write=alive.is_set, settings=SETTINGS) as begun:
            await target.until(lambda: draining(target) == 2)
            yield target, begun[0]


def test_workers_claim_again_when_the_operator_is_gone_in_the_middle_of_a_scale_in(
    dsn: str,
) -> None:
    async def scene() -> None:
        alive = asyncio.Event()
        async with scaling_in(dsn, alive) as (target, _):
            alive.clear()
            await target.until(lambda: draining(target) == 0)

        assert target.writes == []

    asyncio.run(scene())


def test_a_drain_lasts_as_long_as_the_operator_asks_for_it(dsn: str) -> None:
    async def scene() -> None:
        async with scaling_in(dsn, asyncio.Event()) as (target, _):
            asked = {pod.name for pod in target.pods_by_name.values() if pod.draining}
            with pytest.raises(TimeoutError):
                await target.until(lambda: draining(target) != 2, timeout_s=2 * LASTS_S)
            for name in asked:
                target.pods_by_name[name].busy = 0
            await target.until(lambda: len(target.pods_by_name) == 1)

        assert set(target.ended[:2]) == asked

    asyncio.run(scene())


def test_a_drain_that_a_person_asked_for_has_no_end_whoever_asks_for_one_with_an_end(
    dsn: str,
) -> None:
    async def scenario() -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
        state = "SELECT drain, drain_until IS NULL FROM queueworker.worker"
        async with engine(dsn) as e:
            worker = await e.worker()
            await e.one("SELECT queueworker.drain_for(%s, 0)", [worker])
            await e.one("SELECT queueworker.set_drain(%s, true)", [worker])
            await e.one("SELECT queueworker.drain_for(%s, 0)", [worker])
            await execute(dsn, "SELECT queueworker.rescue()")
            by_hand = await execute(dsn, state)
            await e.one("SELECT queueworker.set_drain(%s, false)", [worker])
            return by_hand, await execute(dsn, state)

    by_hand, undone = asyncio.run(scenario())

    assert by_hand == [(True, True)]
    assert undone == [(False, True)]


def test_the_end_of_a_drain_is_heard_at_once(dsn: str) -> None:
    async def scenario() -> tuple[str, str]:
        async with engine(dsn) as e:
            worker = await e.worker()
            await e.one("SELECT queueworker.drain_for(%s, 0)", [worker])
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as ear:
                await ear.execute("LISTEN queueworker")
                await execute(dsn, "SELECT queueworker.rescue()")
                async for notice in ear.notifies(timeout=5, stop_after=1):
                    return notice.payload, f"drain:{worker}"
        return "", "nothing heard"

    heard, expected = asyncio.run(scenario())

    assert heard == expected
