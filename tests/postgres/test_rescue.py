"""A dead worker's jobs are ready again, once each, and nobody else's."""

import asyncio
from unittest.mock import AsyncMock

import psycopg
import pytest
from tests.support.engine import die, engine, succeed
from tests.support.postgres import Connection, has_waiter
from tests.support.waiting import wait_until

from queueworker.errors import DatabaseUnavailable
from queueworker.store import Store

pytestmark = pytest.mark.postgres


def test_a_dead_workers_jobs_are_ready_again_with_a_crash_on_their_account(dsn: str) -> None:
    async def scenario() -> tuple[int, dict[str, int], list[tuple[int, int]]]:
        async with engine(dsn) as e:
            await e.enqueue(3)
            await die(e, 3)
            rescued = await e.store.rescue()
            states = await e.states()
            again = await e.claim(await e.worker(), 3)
            return rescued, states, [(job.attempt, job.crash_count) for job in again]

    rescued, states, accounts = asyncio.run(scenario())

    assert rescued == 3
    assert states == {"ready": 3}
    assert accounts == [(2, 1)] * 3


def test_rescue_leaves_a_worker_alone_whose_lease_goes_on(dsn: str) -> None:
    async def scenario() -> tuple[int, set[tuple[int, int]]]:
        async with engine(dsn) as e:
            await e.enqueue(2)
            jobs = await e.claim(await e.worker(ttl_s=30), 2)
            rescued = await e.store.rescue()
            return rescued, await e.store.complete(e.queue, [succeed(job) for job in jobs])

    assert asyncio.run(scenario()) == (0, set())


def test_rescue_touches_a_job_only_under_the_token_of_the_lost_claim(dsn: str) -> None:
    async def scenario() -> tuple[int, int, int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            lost = await e.worker()
            (old,) = await e.claim(lost)
            await e.store.release(e.queue, old.token, [old.id])
            (new,) = await e.claim(await e.worker())
            # A claim row that was left behind, with the id of a job that runs elsewhere by now.
            await e.conn.execute(
                "INSERT INTO queueworker.claim (token, worker_id, queue_id, started, ids)"
                " VALUES (%s, gen_random_uuid(), %s, 1, ARRAY[%s]::bigint[])",
                (old.token, e.queue.id, old.id),
            )
            rescued = await e.store.rescue()
            return rescued, await e.one("SELECT token FROM queueworker.job"), new.token

    rescued, token, owner = asyncio.run(scenario())

    assert (rescued, token) == (0, owner)


def test_two_rescuers_at_once_give_each_job_back_once(dsn: str) -> None:
    async def scenario() -> tuple[int, list[int]]:
        async with engine(dsn) as e:
            await e.enqueue(50)
            for _ in range(2):
                await die(e, 25)

            async def rescue() -> int:
                async with engine(dsn) as other:
                    return await other.store.rescue()

            counts = await asyncio.gather(*[rescue() for _ in range(4)])
            jobs = await e.claim(await e.worker(), 100)
            return sum(counts), [job.crash_count for job in jobs]

    assert asyncio.run(scenario()) == (50, [1] * 50)


@pytest.mark.parametrize(("dead", "of"), [(1, 4), (2, 2), (2, 12)])
def test_the_jobs_of_a_few_dead_workers_are_given_back_at_once(
    dsn: str, dead: int, of: int
) -> None:
    async def scenario() -> int:
        async with engine(dsn) as e:
            await e.enqueue(of)
            workers = [await e.worker() for _ in range(of)]
            for worker in workers:
                await e.claim(worker)
            for worker in workers[:dead]:
                await e.expire(worker)
            return await e.store.rescue()

    assert asyncio.run(scenario()) == dead


def test_rescue_wakes_a_sleeping_queue(dsn: str) -> None:
    async def scenario() -> str:
        async with engine(dsn) as e:
            await e.enqueue(1)
            await die(e)
            await e.store.set_idle(e.queue.id, idle=True)
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as ear:
                await ear.execute("LISTEN queueworker")
                await e.store.rescue()
                async for notice in ear.notifies(timeout=5, stop_after=1):
                    return notice.payload
        return ""

    assert asyncio.run(scenario()) == "job:mail"


def test_a_rescue_finds_the_jobs_of_a_queue_that_moves_at_this_moment(
    dsn: str, conn: Connection
) -> None:
    async def scenario() -> tuple[int, dict[str, int]]:
        async with engine(dsn) as e, await psycopg.AsyncConnection.connect(dsn) as admin:
            await e.enqueue(2)
            await die(e, 2, started=1)
            await e.one("SELECT queueworker.queue_part_make('mail', true)")
            await e.one("SELECT queueworker.queue_part_guard('mail')")
            await admin.execute("SELECT queueworker.queue_flip('mail', true)")
            rescue = asyncio.create_task(e.store.rescue())
            await asyncio.to_thread(
                wait_until, lambda: has_waiter(conn), within_s=10, what="a rescue", every_s=0.02
            )
            await admin.commit()
            return await rescue, await e.states()

    assert asyncio.run(scenario()) == (2, {"ready": 2})


def test_a_job_that_never_started_keeps_its_age_and_one_that_did_waits_anew(dsn: str) -> None:
    async def scenario() -> list[float]:
        async with engine(dsn) as e:
            ids = await e.enqueue(2)
            await e.conn.execute("UPDATE queueworker.job SET run_at = run_at - interval '1 min'")
            await die(e, 2, started=1)
            await e.store.rescue()
            waits = {job.id: job.run_at_wait_s for job in await e.claim(await e.worker(), 2)}
            return [waits[i] for i in ids]

    assert asyncio.run(scenario()) == pytest.approx([0, 60], abs=5)


def test_a_lost_claim_whose_return_failed_is_returned_by_the_next_look(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> tuple[list[int], dict[str, int]]:
        async with engine(dsn) as e:
            await e.enqueue(3)
            worker = await e.worker()
            await e.claim(worker, 3)
            # A worker that has not seen the claim: its answer never came.
            store = Store(e.conn)
            monkeypatch.setattr(store, "queue", AsyncMock(side_effect=DatabaseUnavailable("gone")))
            with pytest.raises(DatabaseUnavailable):
                await store.return_unseen(worker)
            monkeypatch.undo()
            return [await store.return_unseen(worker) for _ in range(2)], await e.states()

    assert asyncio.run(scenario()) == ([3, 0], {"ready": 3})
