"""Days are made ahead, dropped whole, and cut in small batches where a queue keeps less."""

import asyncio
import time
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from tests.support.engine import engine
from tests.support.postgres import Connection
from tests.support.retaining import (
    DAY_S,
    FINISHED,
    days,
    keep,
    kept,
    maintain,
    make_day,
    retain,
    run_one,
)
from tests.support.worker_process import Bench, WorkerProcess

from queueworker.store import Upkeep

pytestmark = pytest.mark.postgres


def test_a_missing_partition_fails_no_completion(dsn: str, conn: Connection) -> None:
    async def scenario() -> tuple[int, Upkeep]:
        async with engine(dsn) as e:
            queue = await retain(e, DAY_S)
            for day in days(conn):
                name = sql.Identifier("queueworker", f"finished_job_{day:%Y%m%d}")
                conn.execute(sql.SQL("DROP TABLE {}").format(name))
            job_id = await run_one(e, queue)
            return job_id, await maintain(e)

    job_id, upkeep = asyncio.run(scenario())

    assert conn.execute(FINISHED).fetchall() == [(job_id,)]
    assert conn.execute("SELECT id FROM queueworker.finished_job_default").fetchall() == [(job_id,)]
    # Today stays with the default partition, which has its rows; the days to come are made.
    assert upkeep.days_made == 2
    conn.execute(
        "UPDATE queueworker.finished_job SET finished_at = finished_at - interval '2 days'"
    )
    again = conn.execute("SELECT finished_deleted FROM queueworker.maintain(true)").fetchone()
    assert again == (1,)
    assert kept(conn, "mail") == 0


def test_days_are_made_ahead_and_dropped_whole_after_the_longest_retention(
    dsn: str, conn: Connection
) -> None:
    today = datetime.now(UTC).date()
    for age in (9, 8, 7, 6):
        make_day(conn, today - timedelta(days=age))
    keep(conn, "mail", timedelta(days=9))
    keep(conn, "mail", timedelta(days=6))

    async def scenario() -> tuple[Upkeep, list[date]]:
        async with engine(dsn) as e:
            await retain(e, 7 * DAY_S)
            await retain(e, DAY_S, "reports")
            return await maintain(e), days(conn)

    upkeep, left = asyncio.run(scenario())

    # A day is dropped when its end is older than 7 days.
    assert upkeep.days_dropped == 2
    assert upkeep.finished_deleted == 0
    assert left == [today + timedelta(days=n) for n in (-7, -6, 0, 1, 2)]
    assert kept(conn, "mail") == 1


def test_a_shorter_retention_hides_at_once_and_deletes_in_small_batches(
    dsn: str, conn: Connection
) -> None:
    day = (datetime.now(UTC) - timedelta(days=3)).date()
    make_day(conn, day)
    keep(conn, "mail", timedelta(days=3), count=2)
    keep(conn, "reports", timedelta(days=3), count=25)

    async def scenario() -> None:
        async with engine(dsn) as e:
            await retain(e, 7 * DAY_S, "mail")
            await retain(e, DAY_S, "reports")

    asyncio.run(scenario())
    shown = conn.execute("SELECT queue FROM queueworker.jobs WHERE state = 'succeeded'").fetchall()
    assert shown == [("mail",)] * 2

    rounds: list[tuple[int, bool]] = []
    while not rounds or rounds[-1][1]:
        call = "SELECT finished_deleted, has_more FROM queueworker.maintain(true, 10)"
        row = conn.execute(call).fetchone()
        assert row is not None
        rounds.append(row)
    assert rounds == [(10, True), (10, True), (5, False)]
    assert (kept(conn, "mail"), kept(conn, "reports")) == (2, 0)
    assert day in days(conn)


def test_off_hides_at_once_and_what_was_kept_is_deleted(dsn: str, conn: Connection) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await run_one(e, await retain(e, DAY_S))
            queue = await retain(e, 0)
            seen = [len(await e.all(FINISHED)), kept(conn, "mail")]
            await run_one(e, queue)
            seen.append(kept(conn, "mail"))
            await asyncio.sleep(0.01)
            seen.append((await maintain(e)).finished_deleted)
            return [*seen, kept(conn, "mail")]

    assert asyncio.run(scenario()) == [0, 1, 1, 1, 0]


def test_completions_go_on_while_a_reader_stops_a_day_from_being_dropped(
    dsn: str, conn: Connection
) -> None:
    make_day(conn, (datetime.now(UTC) - timedelta(days=5)).date())
    keep(conn, "mail", timedelta(days=5))

    async def scenario() -> tuple[Upkeep, float, Upkeep]:
        async with engine(dsn) as e:
            queue = await retain(e, DAY_S)
            with psycopg.connect(dsn) as reader:
                reader.execute("SELECT count(*) FROM queueworker.jobs")
                began_s = time.monotonic()
                blocked = await maintain(e)
                await run_one(e, queue)
                took_s = time.monotonic() - began_s
            return blocked, took_s, await maintain(e)

    blocked, took_s, later = asyncio.run(scenario())

    assert (blocked.days_dropped, later.days_dropped) == (0, 1)
    assert took_s < 2
    assert len(days(conn)) == 3


def test_one_of_many_maintains_and_at_most_once_a_minute(dsn: str, conn: Connection) -> None:
    with psycopg.connect(dsn) as other:
        first = other.execute("SELECT has_more FROM queueworker.maintain()").fetchall()
        during = conn.execute("SELECT has_more FROM queueworker.maintain(true)").fetchall()
    after = conn.execute("SELECT has_more FROM queueworker.maintain()").fetchall()
    at_once = conn.execute("SELECT has_more FROM queueworker.maintain(true)").fetchall()
    conn.execute(
        "UPDATE queueworker.maintenance SET maintained_at = maintained_at - interval '1 minute'"
    )
    later = conn.execute("SELECT has_more FROM queueworker.maintain()").fetchall()

    assert (first, during, after, at_once, later) == ([(False,)], [], [], [(False,)], [(False,)])


def test_a_worker_does_the_maintenance(dsn: str, bench: Bench) -> None:
    keep(bench.conn, "mail", timedelta(days=5))
    bench.conn.execute("SELECT queueworker.queue_retain('mail', interval '1 day')")
    with WorkerProcess(dsn):
        bench.until("SELECT count(*) = 0 FROM queueworker.finished_job")
