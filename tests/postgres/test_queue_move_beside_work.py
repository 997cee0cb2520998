"""Producers and workers go on while a queue changes its table."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from tests.support.engine import engine, release, succeed
from tests.support.postgres import Connection
from tests.support.worker_process import Bench, WorkerProcess, run_command

from queueworker.errors import StaleToken
from queueworker.store import complete_in

pytestmark = pytest.mark.postgres


def test_a_long_transaction_delays_the_move_and_nobody_else(dsn: str, conn: Connection) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'a')")
    waits: list[float] = []
    with psycopg.connect(dsn) as long, psycopg.connect(dsn, autocommit=True) as other:
        long.execute("SELECT queueworker.enqueue('reports', 'a')")
        mover = threading.Thread(target=lambda: asyncio.run(_create(dsn)))
        mover.start()
        ends_s = time.monotonic() + 2.0
        while time.monotonic() < ends_s:
            waits.append(timed(lambda: enqueue(other)))
        assert mover.is_alive()
        long.commit()
        mover.join(20)
    assert not mover.is_alive()
    assert max(waits) < 0.5
    assert conn.execute(
        "SELECT part <> 'job_default' FROM queueworker.queue WHERE name = 'mail'"
    ).fetchone() == (True,)


async def _create(dsn: str) -> None:
    async with engine(dsn) as e:
        await e.store.queue_create("mail")


def enqueue(conn: Connection) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'noop')")


def timed(work: Callable[[], Any]) -> float:
    began_s = time.monotonic()
    work()
    return time.monotonic() - began_s


def test_work_goes_on_while_a_backlog_moves(dsn: str, conn: Connection) -> None:
    """50,000 waiting jobs, a worker, a producer: nobody waits long and no job is lost."""
    count = 50_000
    conn.execute(
        "SELECT count(*) FROM queueworker.enqueue_many('mail', 'noop',"
        " ARRAY(SELECT '{}'::jsonb FROM generate_series(1, %s)))",
        (count,),
    )
    stop = threading.Event()
    waits: list[float] = []

    def produce() -> None:
        with psycopg.connect(dsn, autocommit=True) as mine:
            while not stop.is_set():
                waits.append(timed(lambda: enqueue(mine)))

    producer = threading.Thread(target=produce)
    with Bench(dsn) as bench, WorkerProcess(dsn) as worker:
        worker.ready()
        producer.start()
        done = run_command(dsn, "queue", "create", "mail", "--progress")
        stop.set()
        producer.join()
        assert done.returncode == 0, done.stderr
        assert "jobs moved" in done.stderr
        bench.until("SELECT NOT EXISTS (SELECT FROM queueworker.job)", within_s=60)
        bench.until("SELECT sum(succeeded) = %s FROM queueworker.queue_counter", count + len(waits))
        assert bench.one("SELECT sum(refused) FROM queueworker.queue_counter") == 0
    assert max(waits) < 1.0


def test_a_handler_completes_its_job_although_a_move_has_ended_since_it_was_claimed(
    dsn: str,
) -> None:
    async def scenario() -> tuple[bool, int, str]:
        async with engine(dsn) as e:
            await e.store.queue_create("mail")
            await e.enqueue(2)
            worker = await e.worker()
            old, stale = await e.claim(worker, 2)
            first = await e.store.queue("mail")
            [step async for step in e.store.queue_move("mail", own=False)]
            moving = await e.store.queue("mail")
            await e.enqueue(1)
            (new,) = await e.claim(worker, 1)
            await e.store.complete(moving, [succeed(old), release(stale)])
            [step async for step in e.store.queue_move("mail", own=False)]
            is_gone = await e.one("SELECT to_regclass(%s) IS NULL", f"queueworker.{first.part}")
            async with await psycopg.AsyncConnection.connect(dsn) as conn:
                await complete_in(conn, moving, new.id, new.token)
            async with await psycopg.AsyncConnection.connect(dsn) as conn:
                with pytest.raises(StaleToken) as refused:
                    await complete_in(conn, first, stale.id, stale.token)
                await conn.rollback()
            left = await e.one("SELECT count(*) FROM queueworker.job")
            return is_gone, left, str(refused.value)

    is_gone, left, text = asyncio.run(scenario())
    assert (is_gone, left) == (True, 1)
    assert "must be rolled back" in text
