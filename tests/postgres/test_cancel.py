"""Cancellation: a waiting job is gone at once, and of all that may end a job exactly one does."""

import asyncio
from uuid import UUID

import psycopg
import pytest
from tests.support.engine import Engine, bury, engine, release, retry, succeed
from tests.support.postgres import Connection
from tests.support.worker_process import run_command

from queueworker import App
from queueworker.job import ClaimedJob

pytestmark = pytest.mark.postgres

ROUNDS = 100


async def cancel(e: Engine, job_id: int) -> str | None:
    return await e.store.job_cancel(job_id)


def test_a_waiting_a_scheduled_and_a_running_job_are_gone_and_counted_apart(dsn: str) -> None:
    async def scenario() -> None:
        async with engine(dsn) as e:
            running, waiting = await e.enqueue(2)
            (scheduled,) = await e.enqueue(1, run_at="2100-01-01")
            (job,) = await e.claim(await e.worker(), 1)
            assert [await cancel(e, i) for i in (running, waiting, scheduled, 5)] == [
                "running",
                "ready",
                "scheduled",
                None,
            ]
            assert await cancel(e, running) is None
            assert await e.states() == {}
            assert await e.store.complete(e.queue, [succeed(job)]) == {(job.id, job.token)}
            lag = await e.lag()
            assert (lag.ready, lag.succeeded_total, lag.dead) == (0, 0, 0)
            assert await e.one("SELECT queueworker.cancelled_total('mail')") == 3

    asyncio.run(scenario())


def test_a_cancelled_job_is_kept_where_the_queue_keeps_finished_jobs(dsn: str) -> None:
    async def scenario() -> None:
        async with engine(dsn) as e:
            await e.one("SELECT queueworker.queue_retain('mail', interval '1 day')")
            ids = await e.enqueue(2)
            await e.claim(await e.worker(), 1)
            for job_id in ids:
                await cancel(e, job_id)
            assert await e.states() == {"cancelled": 2}

    asyncio.run(scenario())


def test_a_cancellation_counts_when_its_transaction_commits(dsn: str) -> None:
    async def scenario() -> None:
        async with (
            engine(dsn) as e,
            await psycopg.AsyncConnection.connect(dsn) as mine,
            App(dsn) as app,
        ):
            (job_id,) = await e.enqueue()
            assert await app.cancel(job_id, mine) == "ready"
            await mine.rollback()
            assert await e.states() == {"ready": 1}
            assert await app.cancel(job_id) == "ready"
            assert app.cancel_sync(job_id) is None

    asyncio.run(scenario())


@pytest.mark.parametrize("rival", ["claim", "complete", "retry", "bury", "release", "rescue"])
def test_of_a_cancellation_and_a_rival_exactly_one_ends_the_job(dsn: str, rival: str) -> None:
    async def scenario() -> set[str | None]:
        async with engine(dsn) as e, engine(dsn) as other:
            return {await race(e, other, rival, number) for number in range(ROUNDS)}

    seen = asyncio.run(scenario())

    # A race that one side always wins would prove nothing.
    assert len(seen) > 1


async def race(e: Engine, other: Engine, rival: str, number: int) -> str | None:
    """Let both act at once; give what the cancelled job was."""
    (job_id,) = await e.enqueue()
    worker = await e.worker()
    jobs = [] if rival == "claim" else await e.claim(worker, 1)
    if rival == "rescue":
        await e.expire(worker)

    async def cancel_later() -> str | None:
        await asyncio.sleep((number % 20) / 5000)
        return await cancel(e, job_id)

    has_ended, was = await asyncio.gather(act(other, rival, worker, jobs), cancel_later())
    assert has_ended == (was is None), (rival, number, was)
    assert await e.one("SELECT count(*) FROM queueworker.job") == 0
    for job in jobs:
        assert await e.store.complete(e.queue, [succeed(job)]) == {(job_id, job.token)}
    dead = await e.one("SELECT count(*) FROM queueworker.dead_job WHERE id = %s", job_id)
    assert dead == (rival == "bury" and has_ended)
    return was


async def act(e: Engine, rival: str, worker: UUID, jobs: list[ClaimedJob]) -> bool:
    """Give whether the rival ended the job."""
    if rival == "claim":
        jobs += await e.claim(worker, 1)
        return False
    if rival == "rescue":
        await e.store.rescue()
        return False
    kinds = {"complete": succeed, "retry": retry, "bury": bury, "release": release}
    refused = await e.store.complete(e.queue, [kinds[rival](jobs[0])])
    return rival in {"complete", "bury"} and not refused


def test_many_jobs_are_cancelled_by_queue_and_task_after_a_count(
    dsn: str, conn: Connection
) -> None:
    many = "SELECT queueworker.enqueue('mail', %s) FROM generate_series(1, %s)"
    conn.execute(many, ("a", 2500))
    conn.execute(many, ("b", 3))

    asked = run_command(dsn, "job", "cancel", "--queue", "mail", "--task", "a")
    assert asked.returncode == 1
    assert "this would cancel 2,500 jobs of queue mail of task a; add --yes" in asked.stderr
    done = run_command(dsn, "job", "cancel", "--queue", "mail", "--task", "a", "--yes")
    assert done.stdout == "2,500 jobs of queue mail of task a are cancelled\n"
    left = conn.execute("SELECT task, count(*) FROM queueworker.jobs GROUP BY task").fetchall()
    assert left == [("b", 3)]
    assert conn.execute("SELECT queueworker.cancelled_total('mail')").fetchone() == (2500,)


def test_the_command_cancels_and_shows_jobs_by_id(dsn: str, conn: Connection) -> None:
    (job_id,) = conn.execute(
        """SELECT queueworker.enqueue('mail', 'a', '{"to": "x"}')"""
    ).fetchone() or (0,)
    shown = run_command(dsn, "job", "show", str(job_id))
    assert "state      ready" in shown.stdout
    assert '"to": "x"' in shown.stdout
    done = run_command(dsn, "job", "cancel", str(job_id))
    assert done.stdout == f"job {job_id} was ready and is cancelled\n"
    again = run_command(dsn, "job", "cancel", str(job_id))
    assert again.returncode == 1
    assert f"job {job_id} is in no queue" in again.stderr
    assert run_command(dsn, "job", "cancel").returncode == 1


def test_a_job_of_a_moving_queue_is_cancelled_in_whatever_table(dsn: str) -> None:
    async def scenario() -> None:
        async with engine(dsn) as e:
            await e.all(
                "SELECT queueworker.enqueue_many('mail', 'a',"
                " ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 6000)))"
            )
            await e.claim(await e.worker(), 5)
            async for _ in e.store.queue_move("mail", own=True):
                break
            places = await e.all("SELECT count(*) FROM queueworker.job GROUP BY tableoid")
            assert len(places) == 2
            total = 0
            while count := await e.store.job_cancel_many("mail", None):
                total += count
            assert total == 6000
            assert await e.states() == {}
            assert await e.one("SELECT queueworker.cancelled_total('mail')") == 6000

    asyncio.run(scenario())
