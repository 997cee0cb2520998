"""A handler that completes its job in a transaction and leaves that open holds up nobody else."""

import asyncio
import time

import psycopg
import pytest
from psycopg import sql
from tests.support.engine import engine
from tests.support.postgres import Connection
from tests.support.worker_process import Bench, WorkerProcess

pytestmark = pytest.mark.postgres


def leave_open(bench: Bench, task: str = "leave_open") -> int:
    (job,) = bench.enqueue(task, max_attempts=2)
    bench.until_noted(job)
    bench.until("SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'idle in transaction'")
    return job


@pytest.mark.parametrize("task", ["leave_open", "break_off"])
def test_other_results_are_written_and_the_held_one_when_its_transaction_ends(
    dsn: str, bench: Bench, task: str
) -> None:
    with WorkerProcess(dsn) as worker:
        held = leave_open(bench, task)
        for _ in range(3):
            ids = bench.enqueue("quick", count=50)
            bench.until_gone(*ids)
        assert bench.state(held) == ("running", 1)
        (end,) = bench.enqueue("end_open", commit=True)
        bench.until_gone(held, end)
        bench.until("SELECT sum(succeeded) = 152 FROM queueworker.queue_counter")
        bench.until("SELECT count(*) = 0 FROM queueworker.claim")
        metrics = worker.probe("/metrics")[1]
        assert worker.stop(10) == 0

    assert "must end that transaction" in worker.log
    assert len(bench.runs(held)) == 1
    assert 'queueworker_database_lock_timeouts_total{purpose="completions"}' in metrics


def test_a_held_one_that_is_rolled_back_runs_again(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn):
        held = leave_open(bench)
        ids = bench.enqueue("quick", count=50)
        bench.until_gone(*ids)
        (end,) = bench.enqueue("end_open", commit=False)
        bench.until_gone(end, held)

    assert [attempt for attempt, _, _ in bench.runs(held)] == [1, 2]


def test_a_drain_does_not_wait_for_it_longer_than_its_grace(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn, "--grace", "10") as worker:
        leave_open(bench)
        worker.stop(within_s=10.5)


def test_a_dead_workers_locked_job_does_not_stop_the_sweep(dsn: str) -> None:
    async def run() -> tuple[dict[str, int], dict[str, int]]:
        async with engine(dsn) as e:
            worker_id = await e.worker()
            await e.enqueue(2)
            (held,) = await e.claim(worker_id)
            (free,) = await e.claim(worker_id)
            with psycopg.connect(dsn) as rival:
                rival.execute("SELECT 1 FROM queueworker.job WHERE id = %s FOR UPDATE", (held.id,))
                await e.expire(worker_id)
                await e.store.rescue()
                during = await e.states()
            await e.store.rescue()
            assert free.id != held.id
            return during, await e.states()

    during, after = asyncio.run(run())

    assert during == {"running": 1, "ready": 1}
    assert after == {"ready": 2}


def test_hundreds_of_locked_jobs_and_a_locked_table_hold_up_no_rescue(
    dsn: str, conn: Connection
) -> None:
    async def lose(name: str, jobs: int) -> list[int]:
        async with engine(dsn, name) as e:
            worker_id = await e.worker()
            await e.enqueue(jobs)
            claims = [await e.claim(worker_id) for _ in range(jobs)]
            await e.expire(worker_id)
            return [job.id for (job,) in claims]

    conn.execute("SELECT queueworker.queue_create('news')")
    *held, _, _, _ = asyncio.run(lose("mail", 303))
    in_locked_table = asyncio.run(lose("news", 30))
    news = "SELECT part FROM queueworker.queue WHERE name = 'news'"
    (part,) = conn.execute(news).fetchone() or ("",)
    lock = sql.SQL("LOCK TABLE queueworker.{} IN ACCESS EXCLUSIVE MODE")
    with psycopg.connect(dsn) as rival, psycopg.connect(dsn) as guard:
        hold = "SELECT 1 FROM queueworker.job_default WHERE id = ANY (%s) FOR UPDATE"
        rival.execute(hold, (held,))
        guard.execute(lock.format(sql.Identifier(part)))
        began_s = time.monotonic()
        during = conn.execute("SELECT queueworker.rescue()").fetchone()
        took_s = time.monotonic() - began_s
    after = conn.execute("SELECT queueworker.rescue()").fetchone()

    assert during == (3,)
    assert took_s < 5  # some 0.2 s on a quiet machine
    assert after == (len(held) + len(in_locked_table),)
