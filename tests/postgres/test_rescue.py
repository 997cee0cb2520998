import asyncio
from unittest.mock import AsyncMock

import psycopg
import pytest
from tests.support.engine import Engine, engine, load, succeed
from tests.support.postgres import Connection, has_waiter
from tests.support.waiting import wait_until

from queueworker.errors import DatabaseUnavailable
from queueworker.store import LagRow, Store

pytestmark = pytest.mark.postgres

AGED = "UPDATE queueworker.worker SET started_at = started_at - interval '1 minute'"
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


async def die(e: Engine, limit: int = 1, started: int | None = None) -> list[int]:
    """Let a worker claim and vanish; give the claimed ids."""
    worker = await e.worker()
    jobs = await e.claim(worker, limit, started=started)
    await e.expire(worker)
    return [job.id for job in jobs]


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


def test_jobs_that_never_started_go_back_uncharged(dsn: str) -> None:
    async def scenario() -> list[tuple[int, int]]:
        async with engine(dsn) as e:
            ids = await e.enqueue(4)
            await die(e, 4, started=1)
            await e.store.rescue()
            jobs = {job.id: job for job in await e.claim(await e.worker(), 4)}
            return [(jobs[i].attempt, jobs[i].crash_count) for i in ids]

    assert asyncio.run(scenario()) == [(2, 1), (1, 0), (1, 0), (1, 0)]


def test_what_counts_as_started_can_be_raised_and_taken_back(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(4)
            worker = await e.worker()
            jobs = await e.claim(worker, 4, started=1)
            await e.store.mark_started(jobs[0].token, 3)
            await e.store.mark_started(jobs[0].token, 2)
            await e.expire(worker)
            await e.store.rescue()
            again = await e.claim(await e.worker(), 4)
            return sorted(job.crash_count for job in again)

    assert asyncio.run(scenario()) == [0, 0, 1, 1]


def test_suspects_in_a_claim_of_their_own_are_not_charged_with_it(dsn: str) -> None:
    async def scenario() -> tuple[dict[int, int], dict[str, int]]:
        async with engine(dsn) as e:
            ids = await e.enqueue(4)
            worker = await e.worker()
            jobs = await e.claim(worker, 4)
            token = await e.store.isolate([jobs[1], jobs[3]], started=2)
            assert token is not None
            assert token > jobs[0].token
            assert await e.store.isolate([jobs[1]], started=2) is None
            await e.store.mark_started(token, 1)
            await e.expire(worker)
            await e.store.rescue()
            rows = await e.all("SELECT id, crash_count FROM queueworker.job")
            return {ids.index(job_id): crashes for job_id, crashes in rows}, await e.states()

    crashes, states = asyncio.run(scenario())
    assert crashes == {0: 1, 1: 1, 2: 1, 3: 0}
    assert states == {"ready": 4}


def test_the_third_crash_makes_a_dead_letter(dsn: str) -> None:
    async def scenario() -> tuple[list[dict[str, int]], list[tuple[object, ...]], int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            states = []
            for _ in range(3):
                await die(e)
                await e.store.rescue()
                states.append(await e.states())
            letters = await e.all("SELECT attempt, crash_count, kind FROM queueworker.dead_job")
            crashes = await e.one("SELECT count(*) FROM queueworker.failure WHERE kind = 'crash'")
            return states, letters, crashes

    states, letters, crashes = asyncio.run(scenario())

    assert states == [{"ready": 1}, {"ready": 1}, {"dead": 1}]
    assert letters == [(3, 3, "crash")]
    assert crashes == 3


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


def test_the_operator_ends_leases_also_while_rescue_holds_back(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e:
            await e.enqueue(4)
            for number in range(4):
                worker = await e.worker(pod=f"mail-{number}")
                await e.claim(worker)
                await e.expire(worker)
            await e.conn.execute(AGED)
            return await e.store.rescue(), await e.one(
                "SELECT queueworker.end_lease(ARRAY['mail-0', 'mail-2'])"
            )

    assert asyncio.run(scenario()) == (0, 2)


def test_ending_the_lease_of_a_pod_gives_its_jobs_back_at_once(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(4)
            for pod in ("mail-1", "mail-2"):
                await e.claim(await e.worker(pod=pod), 2)
            await e.conn.execute(AGED)
            call = "SELECT queueworker.end_lease(%s)"
            ended = [await e.one(call, [name]) for name in ("other", "mail-1", "default/mail-2")]
            return [*ended, (await e.states())["ready"]]

    assert asyncio.run(scenario()) == [0, 2, 2, 4]


def test_ending_a_lease_spares_the_worker_of_a_restarted_container(dsn: str) -> None:
    async def scenario() -> tuple[int, dict[str, int]]:
        async with engine(dsn) as e:
            await e.enqueue(4)
            await e.claim(await e.worker(pod="mail-1"), 2)
            await e.conn.execute(AGED)
            await e.claim(await e.worker(pod="mail-1"), 2)
            return await e.one("SELECT queueworker.end_lease(%s)", ["mail-1"]), await e.states()

    assert asyncio.run(scenario()) == (2, {"ready": 2, "running": 2})


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
