"""What a replacement keeps of the job that waited, and what it takes anew."""

import asyncio
import json
from typing import Any

import psycopg
import pytest
from tests.support.engine import engine, retry, succeed
from tests.support.keyed import app, job, rows
from tests.support.postgres import Connection

pytestmark = pytest.mark.postgres


def place(conn: Connection) -> tuple[Any, ...]:
    return conn.execute("SELECT pos, run_at FROM queueworker.job").fetchone() or ()


def test_a_replaced_job_that_stays_ready_keeps_its_id_and_its_place(
    dsn: str, conn: Connection
) -> None:
    with psycopg.connect(dsn, autocommit=True) as mine:
        first = app.enqueue_sync(job(1), mine)
        before = place(conn)
        second = app.enqueue_sync(job(2, max_attempts=9), mine, on_duplicate="replace")

    assert first == second
    assert [row[-1] for row in rows(conn)] == ["2"]
    assert place(conn) == before
    assert conn.execute("SELECT max_attempts FROM queueworker.job").fetchone() == (9,)


def test_a_replaced_job_of_another_priority_enters_its_lane_anew(dsn: str) -> None:
    async def scenario() -> tuple[Any, ...]:
        async with engine(dsn) as e:
            await app.enqueue(job(1), e.conn)
            await e.enqueue(3)
            await e.sweep()
            await app.enqueue(job(2, priority=5), e.conn, on_duplicate="replace")
            await e.sweep()
            worker = await e.worker()
            claimed = await e.claim(worker, 10)
            await e.store.complete(e.queue, [succeed(each) for each in claimed])
            lag = await e.lag()
            return [json.loads(each.args) for each in claimed], lag.ready, lag.enqueued_total

    order, ready, enqueued = asyncio.run(scenario())

    assert order == [{"n": 2}, {}, {}, {}]
    assert (ready, enqueued) == (0, 4)


TIMES: dict[str, tuple[float | None, float | None, str]] = {
    "later": (None, 60, "scheduled"),
    "sooner": (60, 30, "scheduled"),
    "now": (60, None, "ready"),
}


@pytest.mark.parametrize("name", TIMES)
def test_a_replaced_job_takes_the_new_time(name: str, dsn: str, conn: Connection) -> None:
    first, second, state = TIMES[name]
    with psycopg.connect(dsn, autocommit=True) as mine:
        app.enqueue_sync(job(1), mine, delay_s=first)
        app.enqueue_sync(job(2), mine, delay_s=second, on_duplicate="replace")
    due = conn.execute(
        "SELECT extract(epoch FROM run_at - clock_timestamp()) FROM queueworker.job"
    ).fetchone()

    assert [(row[1], row[-1]) for row in rows(conn)] == [(state, "2")]
    assert due is not None
    assert float(due[0]) == pytest.approx(second or 0, abs=5)


def test_a_job_that_was_tried_is_replaced_under_a_new_id_with_fresh_attempts(
    dsn: str, conn: Connection
) -> None:
    async def scenario() -> tuple[int | None, int | None]:
        async with engine(dsn) as e:
            first = await app.enqueue(job(1), e.conn)
            (claimed,) = await e.claim(await e.worker())
            await e.store.complete(e.queue, [retry(claimed, 60)])
            return first, await app.enqueue(job(2), e.conn, on_duplicate="replace")

    first, second = asyncio.run(scenario())

    assert first != second
    assert rows(conn) == [(second, "ready", 0, 0, "2")]


def test_a_rollback_brings_the_replaced_job_back(dsn: str, conn: Connection) -> None:
    with psycopg.connect(dsn) as mine:
        app.enqueue_sync(job(1), mine)
        mine.commit()
        app.enqueue_sync(job(2, priority=4), mine, on_duplicate="replace")
        mine.rollback()

    assert [(row[2], row[-1]) for row in rows(conn)] == [(0, "1")]


def test_no_accepted_replacement_is_lost_beside_a_busy_worker(dsn: str) -> None:
    async def scenario() -> tuple[list[int], list[int]]:
        accepted: list[int] = []
        ran: list[int] = []
        done = asyncio.Event()

        async def produce() -> None:
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as mine:
                for n in range(300):
                    found = await app.enqueue(job(n, priority=n % 3), mine, on_duplicate="replace")
                    accepted.extend([n] if found else [])
            done.set()

        async def work() -> None:
            async with engine(dsn) as e:
                worker = await e.worker()
                while not done.is_set() or await e.one("SELECT count(*) FROM queueworker.job"):
                    await e.sweep()
                    claimed = await e.claim(worker, 5)
                    ran.extend(json.loads(each.args)["n"] for each in claimed)
                    await e.store.complete(e.queue, [succeed(each) for each in claimed])

        async with asyncio.timeout(60):
            await asyncio.gather(produce(), work())
        return accepted, ran

    accepted, ran = asyncio.run(scenario())

    assert ran[-1] == accepted[-1]
    assert set(ran) <= set(accepted)
    assert len(set(ran)) == len(ran)
    assert len(ran) > 3


def test_entries_and_exits_of_the_ready_jobs_balance_over_replacements(
    dsn: str, conn: Connection
) -> None:
    with psycopg.connect(dsn, autocommit=True) as mine:
        for priority in (0, 1, 2, 2):
            app.enqueue_many_sync(
                [job(n, unique_key=f"k{n}", priority=priority) for n in range(5)],
                mine,
                on_duplicate="replace",
            )
        app.enqueue_sync(job(unique_key="k0"), mine, delay_s=60, on_duplicate="replace")
    balance = conn.execute(
        "SELECT pg_sequence_last_value(position_sequence) - (id::bigint << 40)"
        " - pg_sequence_last_value(claimed_sequence),"
        " pg_sequence_last_value(position_sequence) - (id::bigint << 40)"
        " - pg_sequence_last_value(requeued_sequence) FROM queueworker.queue"
    ).fetchone()

    assert balance == (4, 5)
