"""A queue changes its table, and every job in it ends as it would have."""

import asyncio

import psycopg
import pytest
from tests.support.engine import Engine, bury, engine, release, retry, succeed
from tests.support.postgres import Connection
from tests.support.worker_process import Bench, WorkerProcess

from queueworker.store import ClaimRequest, MoveState

pytestmark = pytest.mark.postgres


async def move(e: Engine, *, own: bool = True) -> list[MoveState]:
    return [step.state async for step in e.store.queue_move("mail", own=own)]


async def fill(e: Engine, count: int, task: str = "a", **options: object) -> list[int]:
    rows = await e.all(
        "SELECT queueworker.enqueue_many('mail', %s, ARRAY(SELECT '{}'::jsonb FROM"
        " generate_series(1, %s)), priority => %s, run_at => %s)",
        task,
        count,
        options.get("priority", 0),
        options.get("run_at"),
    )
    return [row[0] for row in rows]


async def claim_all(e: Engine) -> list[int]:
    worker = await e.worker()
    claimed: list[int] = []
    while jobs := await e.claim(worker, 1000):
        claimed += [job.id for job in jobs]
    return claimed


@pytest.mark.parametrize("is_back", [False, True])
def test_every_waiting_job_moves_and_keeps_its_id_and_its_place(dsn: str, is_back: bool) -> None:
    async def scenario() -> None:
        async with engine(dsn) as e:
            if is_back:
                await e.store.queue_create("mail")
            old = await fill(e, 5000)
            urgent = await fill(e, 10, priority=5)
            later = await fill(e, 3, run_at="2100-01-01")
            states = await move(e, own=not is_back)
            new = await fill(e, 10)

            part = (await e.store.queue("mail")).part
            assert (part == "job_default") == is_back
            assert states[-1] is MoveState.MOVED
            assert await e.one("SELECT count(*) FROM queueworker.queue") == 1
            rest = "SELECT array_agg(id ORDER BY id) FROM queueworker.job WHERE pos IS NULL"
            assert await e.one(rest) == later
            assert await claim_all(e) == [*urgent, *old, *new]

    asyncio.run(scenario())


def test_jobs_that_run_end_in_the_old_table_whatever_they_come_to(dsn: str) -> None:
    async def scenario() -> None:
        async with engine(dsn) as e:
            ids = await e.enqueue(4)
            worker = await e.worker()
            done, back, again, doomed = await e.claim(worker, 4)
            states = await move(e)
            assert states[-1] is MoveState.FINISHING
            fresh = await e.store.queue("mail")
            changes = [succeed(done), release(back), retry(again), bury(doomed)]
            # Half by a worker that knows of the move, half by one that does not.
            assert await e.store.complete(fresh, changes[:2]) == set()
            assert await e.store.complete(e.queue, changes[2:]) == set()
            assert await e.store.complete(fresh, [succeed(done)]) == {(done.id, done.token)}
            assert (await move(e))[-1] is MoveState.MOVED
            await e.sweep()

            assert await claim_all(e) == [back.id, again.id]
            dead = (
                "SELECT array_agg(id) FROM queueworker.jobs WHERE queue = 'mail' AND state = 'dead'"
            )
            assert await e.one(dead) == [ids[3]]
            lag = await e.lag()
            assert (lag.succeeded_total, lag.dead, lag.enqueued_total) == (1, 1, 4)

    asyncio.run(scenario())


def test_a_dead_workers_jobs_are_rescued_from_both_tables(dsn: str) -> None:
    async def scenario() -> None:
        async with engine(dsn) as e:
            ids = await e.enqueue(4)
            worker = await e.worker()
            await e.claim(worker, 2)
            await move(e)
            await e.claim(worker, 2)
            await e.expire(worker)
            await e.store.rescue()
            assert (await move(e))[-1] is MoveState.MOVED
            await e.sweep()

            assert sorted(await claim_all(e)) == ids

    asyncio.run(scenario())


def test_a_floor_never_passes_a_job_that_is_still_to_come(dsn: str) -> None:
    async def scenario() -> None:
        async with engine(dsn) as e:
            old = await fill(e, 10_000)
            await e.sweep()
            await e.store._flip("mail", own=True)
            worker = await e.worker()
            # Empty the new table and sweep it, while most of the backlog is in the old one.
            first = [job.id for job in await e.claim(worker, 5000)]
            for _ in range(3):
                await e.sweep()
            await move(e)
            for _ in range(3):
                await e.sweep()
            assert [*first, *await claim_all(e)] == old
            for _ in range(3):
                await e.sweep()
            (floor,) = {floor for (floor,) in await e.all("SELECT floor FROM queueworker.lane")}
            assert floor >= old[-1]

    asyncio.run(scenario())


def test_a_move_that_was_interrupted_goes_on_by_a_second_command_or_by_workers(
    dsn: str, conn: Connection
) -> None:
    async def begin() -> None:
        async with engine(dsn) as e:
            await fill(e, 9000, task="noop")
            async for _ in e.store.queue_move("mail", own=True):
                break

    asyncio.run(begin())
    left = "SELECT count(*) FROM queueworker.job_default"
    assert conn.execute(left).fetchone() == (5000,)

    with Bench(dsn) as bench, WorkerProcess(dsn):
        bench.until("SELECT count(*) = 1 FROM queueworker.queue", within_s=60)
        bench.until("SELECT NOT EXISTS (SELECT FROM queueworker.job)", within_s=60)
        bench.until("SELECT sum(succeeded) = 9000 FROM queueworker.queue_counter")


def test_a_unique_key_is_one_over_both_tables(dsn: str) -> None:
    async def scenario() -> None:
        async with engine(dsn) as e:
            await fill(e, 20_000)
            (waiting,) = await e.enqueue(1, unique_key="waits")
            worker = await e.worker(tasks=("b",))
            await e.enqueue(1, task="b", unique_key="runs")
            (running,) = await e.claim(worker, 1, tasks=("b",))
            await e.store._flip("mail", own=True)

            for key in ("waits", "runs"):
                assert await e.enqueue(1, unique_key=key) == [None]
            assert len(await e.enqueue(1, unique_key="free")) == 1
            assert await e.enqueue(1, unique_key="free") == [None]
            await e.store.complete(await e.store.queue("mail"), [succeed(running)])
            assert await e.enqueue(1, unique_key="runs") != [None]
            await move(e)
            assert await e.enqueue(1, unique_key="waits") == [None]
            assert waiting in await claim_all(e)
            assert await e.one("SELECT count(*) FROM pg_trigger WHERE tgname ~ 'moving_key'") == 0

    asyncio.run(scenario())


def test_a_producer_that_read_the_queue_before_the_move_loses_nothing(dsn: str) -> None:
    async def scenario() -> None:
        async with engine(dsn) as e, await psycopg.AsyncConnection.connect(dsn) as late:
            await e.enqueue(3)
            await late.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await late.execute("SELECT 1 FROM queueworker.queue")  # its snapshot
            states = await move(e)
            # It still sees the old id, and writes under it.
            await late.execute("SELECT queueworker.enqueue('mail', 'a')")
            await late.commit()
            assert states[-1] is MoveState.FINISHING
            assert (await move(e))[-1] is MoveState.MOVED
            jobs = [job.id for job in await e.claim(await e.worker(), 9)]
            assert len(jobs) == 4

    asyncio.run(scenario())


def test_nothing_is_claimed_under_an_id_that_a_queue_had_before_it_was_moved(dsn: str) -> None:
    async def scenario() -> tuple[bool, int, dict[str, int]]:
        async with engine(dsn) as e:
            await e.enqueue(2)
            stale = e.queue
            for own in (True, False):
                [step async for step in e.store.queue_move("mail", own=own)]
            now, worker = await e.store.queue("mail"), await e.worker()
            lanes = await e.store.lanes(now.id, ["a"])
            request = ClaimRequest(
                queue=stale, worker_id=worker, limit=5, lanes=lanes, hints=[0 for _ in lanes]
            )
            jobs = await e.store.claim(request)
            is_stale = bool(lanes) and stale.id != now.id and stale.part == now.part
            return is_stale, len(jobs), await e.states()

    assert asyncio.run(scenario()) == (True, 0, {"ready": 2})
