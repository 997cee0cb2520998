"""Producers that commit in any order, beside sweeps that wait for none of them."""

import asyncio
import random

import pytest
from tests.support.engine import Engine, engine, succeed
from tests.support.late import AGE_TICK, BUDGET, LATE

pytestmark = pytest.mark.postgres


async def produce(dsn: str, chance: random.Random, wanted: list[int]) -> None:
    """Enqueue in transactions of any length; note what was committed."""
    for _ in range(25):
        async with engine(dsn) as own:
            is_kept = chance.random() < 0.7
            async with own.conn.transaction(force_rollback=not is_kept):
                ids = await own.enqueue(chance.randint(1, 4))
                await asyncio.sleep(chance.choice([0, 0, 0.01, 0.1]))
                ids += await own.enqueue(1)
            wanted += ids if is_kept else []


async def keep_sweeping(e: Engine, chance: random.Random) -> None:
    while True:
        if chance.random() < 0.6:
            await e.conn.execute(AGE_TICK)
        await e.sweep()
        await asyncio.sleep(0.005)


async def claim_and_complete(e: Engine) -> list[int]:
    jobs = await e.claim(await e.worker(), 10)
    await e.store.complete(e.queue, [succeed(job) for job in jobs])
    return [job.id for job in jobs]


@pytest.mark.parametrize("seed", range(3))
def test_no_job_is_skipped_beside_producers_that_commit_in_any_order(dsn: str, seed: int) -> None:
    chance = random.Random(seed)
    wanted: list[int] = []
    claimed: list[int] = []

    async def scenario() -> int:
        async with engine(dsn) as e, engine(dsn) as claimer:
            sweeping = asyncio.create_task(keep_sweeping(e, chance))
            producing = asyncio.gather(*[produce(dsn, chance, wanted) for _ in range(4)])
            while not producing.done():
                claimed.extend(await claim_and_complete(claimer))
            await producing
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
        async with engine(dsn) as e:
            await e.conn.execute(BUDGET)
            for _ in range(3):
                await e.sweep()
            while found := await claim_and_complete(e):
                claimed.extend(found)
            return int(await e.one(LATE))

    assert asyncio.run(scenario()) == 0
    assert sorted(claimed) == sorted(wanted)
