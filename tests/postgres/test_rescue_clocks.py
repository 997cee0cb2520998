"""Leases beside clocks that jump, and renewals that come late."""

import asyncio

import pytest
from tests.support.engine import engine, load

from queueworker.store import LagRow

pytestmark = pytest.mark.postgres

HELD_S = "SELECT extract(epoch FROM held_until - looked_at)::float8 FROM queueworker.rescue_state"
SILENT = (
    "UPDATE queueworker.worker SET renewed_at = renewed_at - interval '1 min',"
    " expires_at = expires_at - interval '1 min' WHERE id = %s RETURNING id"
)
# As if the server's clock stood so much later: all that it wrote lies further back.
TIME_PASSES = """
WITH moved AS (
  UPDATE queueworker.worker SET renewed_at = renewed_at - make_interval(secs => %(seconds)s),
    expires_at = expires_at - make_interval(secs => %(seconds)s)
)
UPDATE queueworker.rescue_state SET looked_at = looked_at - make_interval(secs => %(seconds)s),
  scan_at = scan_at - make_interval(secs => %(seconds)s),
  held_until = held_until - make_interval(secs => %(seconds)s)
"""


def test_rescue_rechecks_a_lease_that_is_renewed_at_this_moment(dsn: str) -> None:
    async def scenario() -> tuple[int, int, dict[str, int]]:
        async with engine(dsn) as e, engine(dsn) as other:
            await e.enqueue(1)
            worker = await e.worker()
            await e.claim(worker)
            async with e.conn.transaction():
                # Renewed, not committed: others still see the old lease, which is long over.
                await other.expire(worker)
                await e.conn.execute(
                    "UPDATE queueworker.worker SET expires_at = clock_timestamp() + interval '1 min'"
                )
                during = await asyncio.wait_for(other.store.rescue(), 5)
            after = await other.store.rescue()
            return during, after, await e.states()

    assert asyncio.run(scenario()) == (0, 0, {"running": 1})


def test_a_lease_goes_on_when_it_is_renewed_late_until_somebody_ends_it(dsn: str) -> None:
    async def scenario() -> list[bool]:
        async with engine(dsn) as e:
            worker = await e.worker()
            alive = [(await e.store.renew(worker, 15, load())).alive]
            await e.expire(worker)
            alive.append((await e.store.renew(worker, 15, load())).alive)
            await e.expire(worker)
            await e.store.rescue()
            return [*alive, (await e.store.renew(worker, 15, load())).alive]

    assert asyncio.run(scenario()) == [True, True, False]


def test_a_claim_made_after_the_lease_was_taken_away_is_rescued_too(dsn: str) -> None:
    async def scenario() -> tuple[int, dict[str, int]]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            zombie = await e.worker()
            await e.expire(zombie)
            await e.store.rescue()
            await e.claim(zombie)
            return await e.store.rescue(), await e.states()

    assert asyncio.run(scenario()) == (1, {"ready": 1})


def test_many_leases_over_at_once_are_held_for_a_renewal_and_then_rescued(dsn: str) -> None:
    async def scenario() -> tuple[list[int], int]:
        async with engine(dsn) as e:
            await e.enqueue(5)
            workers = [await e.worker(ttl_s=30) for _ in range(5)]
            for worker in workers:
                await e.claim(worker)
            for worker in workers[:3]:
                await e.all(SILENT, worker)
            rescued = [await e.store.rescue(), await e.store.rescue()]
            held_s = await e.one(HELD_S)
            await e.conn.execute(TIME_PASSES, {"seconds": held_s + 0.1})
            return [*rescued, await e.store.rescue()], held_s

    rescued, held_s = asyncio.run(scenario())

    assert rescued == [0, 0, 3]
    assert held_s == pytest.approx(30 / 3 + 1, abs=1)


def test_a_clock_that_is_set_forward_costs_no_lease(dsn: str) -> None:
    async def scenario() -> tuple[list[int], list[bool], LagRow, dict[str, int]]:
        async with engine(dsn) as e:
            await e.enqueue(2)
            workers = [await e.worker(ttl_s=15) for _ in range(2)]
            for worker in workers:
                await e.claim(worker)
            rescued = [await e.store.rescue()]
            await e.conn.execute(TIME_PASSES, {"seconds": 3600})
            rescued.append(await e.store.rescue())
            during = await e.lag()
            # One dies meanwhile; the other renews, late by the clock and in time by its own.
            alive = [(await e.store.renew(workers[0], 15, load(busy=1))).alive]
            rescued.append(await e.store.rescue())
            await e.conn.execute(TIME_PASSES, {"seconds": 6.1})
            rescued.append(await e.store.rescue())
            return rescued, alive, during, await e.states()

    rescued, alive, during, states = asyncio.run(scenario())

    assert rescued == [0, 0, 0, 1]
    assert alive == [True]
    assert (during.workers, during.ready) == (2, 0)
    assert states == {"running": 1, "ready": 1}


def test_a_clock_that_is_set_back_keeps_no_dead_worker_alive(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            await e.claim(await e.worker(ttl_s=15))
            await e.store.rescue()
            await e.conn.execute(TIME_PASSES, {"seconds": -3600})
            rescued = [await e.store.rescue()]
            await e.conn.execute(TIME_PASSES, {"seconds": 8})
            rescued.append(await e.store.rescue())
            await e.conn.execute(TIME_PASSES, {"seconds": 8})
            return [*rescued, await e.store.rescue()]

    assert asyncio.run(scenario()) == [0, 0, 1]
