"""Errors, dead letters and workers' names are kept as long as somebody may ask for them."""

import asyncio
import uuid
from datetime import timedelta

import pytest
from tests.support.engine import bury, engine, retry, succeed
from tests.support.postgres import Connection
from tests.support.retaining import DAY_S, maintain

from queueworker.store import Retention

pytestmark = pytest.mark.postgres


def note_failures(conn: Connection, age: timedelta, *job_ids: int) -> None:
    conn.execute(
        "INSERT INTO queueworker.failure (job_id, queue_id, attempt, token, kind, error, failed_at)"
        " SELECT id, 1, 1, 1, 'error', 'no luck', clock_timestamp() - %s FROM unnest(%s) AS id",
        (age, list(job_ids)),
    )


def failures(conn: Connection) -> list[int]:
    rows = conn.execute("SELECT DISTINCT job_id FROM queueworker.failures ORDER BY 1").fetchall()
    return [job_id for (job_id,) in rows]


def test_errors_go_with_age_but_not_those_of_dead_letters_and_waiting_jobs(
    dsn: str, conn: Connection
) -> None:
    async def scenario() -> list[list[int]]:
        async with engine(dsn) as e:
            dead, waiting = await e.enqueue(2)
            jobs = await e.claim(await e.worker(), 2)
            await e.store.complete(e.queue, [bury(jobs[0]), retry(jobs[1], delay_s=60.0)])
            conn.execute("DELETE FROM queueworker.failure")
            note_failures(conn, timedelta(days=15), dead, waiting, 7)
            note_failures(conn, timedelta(days=13), 8)
            seen = [[dead, waiting], failures(conn)]
            assert (await maintain(e)).failures_deleted == 1
            seen.append(failures(conn))
            # Retried and done since: looked at again once a day.
            await e.store.dead_retry("mail", [dead])
            (job,) = await e.claim(await e.worker(), 1)
            await e.store.complete(e.queue, [succeed(job)])
            await maintain(e)
            seen.append(failures(conn))
            conn.execute("UPDATE queueworker.maintenance SET failures_anew_at = '-infinity'")
            await maintain(e)
            return [*seen, failures(conn)]

    (dead, waiting), before, after, same_day, next_day = asyncio.run(scenario())

    assert before == sorted([dead, waiting, 7, 8])
    assert after == sorted([dead, waiting, 8])
    assert same_day == after
    assert next_day == sorted([waiting, 8])


def test_errors_of_one_moment_are_looked_at_once_in_many_rounds(conn: Connection) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'a') FROM generate_series(1, 25)")
    conn.execute(
        "INSERT INTO queueworker.failure (job_id, queue_id, attempt, token, kind, error, failed_at)"
        " SELECT id, 1, 1, 1, 'error', 'no luck', now() - interval '20 days' FROM queueworker.job"
    )
    call = "SELECT failures_deleted, has_more FROM queueworker.maintain(true, 10)"
    rounds = [conn.execute(call).fetchone() for _ in range(3)]

    assert rounds == [(0, True), (0, True), (0, False)]


def test_dead_letters_are_kept_for_ever_unless_their_queue_says_how_long(
    dsn: str, conn: Connection
) -> None:
    async def scenario() -> tuple[list[int], int]:
        async with engine(dsn) as e:
            await e.enqueue(3)
            jobs = await e.claim(await e.worker(), 3)
            await e.store.complete(e.queue, [bury(job) for job in jobs])
            conn.execute(
                "UPDATE queueworker.dead_job SET died_at = died_at - interval '40 days'"
                " WHERE id <> %s",
                (jobs[0].id,),
            )
            counts = [(await maintain(e)).dead_deleted]
            await e.store.queue_retain("mail", Retention(dead_s=30 * DAY_S))
            counts.append((await maintain(e)).dead_deleted)
            await e.sweep()
            return counts, (await e.lag()).dead

    assert asyncio.run(scenario()) == ([0, 2], 1)
    assert conn.execute("SELECT count(*) FROM queueworker.failures").fetchone() == (1,)


def test_names_of_workers_are_kept_as_long_as_something_may_mention_them(
    dsn: str, conn: Connection
) -> None:
    async def scenario() -> tuple[uuid.UUID, int]:
        async with engine(dsn) as e:
            old, alive = await e.worker(pod="old"), await e.worker(pod="alive")
            await e.store.deregister(old)
            conn.execute(
                "UPDATE queueworker.past_worker SET started_at = started_at - interval '91 days'"
            )
            return alive, (await maintain(e)).workers_forgotten

    alive, forgotten = asyncio.run(scenario())

    assert forgotten == 1
    assert conn.execute("SELECT id, pod FROM queueworker.past_worker").fetchall() == [
        (alive, "alive")
    ]
