"""One job with a key waits or runs; what happens to the second."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from tests.support.engine import engine, succeed
from tests.support.keyed import app, job, rows
from tests.support.postgres import Connection

from queueworker import DuplicateJob, EnqueueRefused

pytestmark = pytest.mark.postgres


@app.task(queue="mail", unique="{user_id}", on_duplicate="replace")
async def digest(user_id: int, hour: int = 8) -> None:
    """Stand for a task; never run here."""


def test_reject_names_the_key_and_its_holder(dsn: str, conn: Connection) -> None:
    with psycopg.connect(dsn) as mine:
        holder = app.enqueue_sync(job(1), mine)
        for call in (
            lambda: app.enqueue_sync(job(2), mine, on_duplicate="reject"),
            lambda: app.enqueue_many_sync([job(2), job(3, unique_key=None)], mine, on_duplicate="reject"),
        ):  # fmt: skip
            with (
                pytest.raises(DuplicateJob, match="'k' of queue 'mail'") as refused,
                mine.transaction(),
            ):
                call()
            assert (refused.value.unique_key, refused.value.job_id) == ("k", holder)

    assert [row[-1] for row in rows(conn)] == ["1"]


def test_reject_has_a_state_that_other_languages_can_read(conn: Connection) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'a', unique_key => 'k')")
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        conn.execute(
            "SELECT queueworker.enqueue('mail', 'a', unique_key => 'k', on_duplicate => 'reject')"
        )

    assert refused.value.diag.constraint_name == "job_unique_key"
    assert '"unique_key" : "k"' in str(refused.value.diag.message_detail)


def test_a_running_job_is_left_alone_by_every_policy(dsn: str, conn: Connection) -> None:
    async def scenario() -> list[int | None]:
        async with engine(dsn) as e:
            await app.enqueue(job(1), e.conn)
            await e.claim(await e.worker())
            return [
                await app.enqueue(job(2), e.conn, on_duplicate="keep"),
                await app.enqueue(job(2), e.conn, on_duplicate="replace"),
            ]

    ids = asyncio.run(scenario())

    assert ids == [None, None]
    assert [row[1:] for row in rows(conn)] == [("running", 0, 1, "1")]


def test_a_key_is_free_again_when_its_job_has_ended(dsn: str, conn: Connection) -> None:
    async def scenario() -> int | None:
        async with engine(dsn) as e:
            await app.enqueue(job(1), e.conn)
            (claimed,) = await e.claim(await e.worker())
            await e.store.complete(e.queue, [succeed(claimed)])
            return await app.enqueue(job(2), e.conn, on_duplicate="reject")

    assert asyncio.run(scenario()) is not None
    assert [row[-1] for row in rows(conn)] == ["2"]


def test_of_a_key_twice_in_a_batch_the_policy_decides_too(dsn: str, conn: Connection) -> None:
    with psycopg.connect(dsn, autocommit=True) as mine:
        kept = app.enqueue_many_sync([job(1), job(2)], mine)
        replaced = app.enqueue_many_sync([job(3), job(4)], mine, on_duplicate="replace")
        with pytest.raises(DuplicateJob):
            app.enqueue_many_sync(
                [job(5, unique_key="n"), job(6, unique_key="n")], mine, on_duplicate="reject"
            )

    assert kept[1] is None
    assert replaced == [kept[0], kept[0]]
    assert [row[-1] for row in rows(conn)] == ["4"]


def test_the_unique_option_of_a_task_makes_the_key(dsn: str, conn: Connection) -> None:
    with psycopg.connect(dsn, autocommit=True) as mine:
        first = app.enqueue_sync(digest(user_id=7), mine)
        again = app.enqueue_sync(digest(user_id=7, hour=9), mine)
        other = app.enqueue_sync(digest(user_id=8), mine)
    keys = conn.execute("SELECT unique_key, args FROM queueworker.jobs ORDER BY id").fetchall()

    assert first == again != other
    assert keys == [
        ("digest:7", {"user_id": 7, "hour": 9}),
        ("digest:8", {"user_id": 8}),
    ]


def test_a_key_out_of_bounds_is_refused(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as mine:
        for key in ("", "x" * 1025):
            with pytest.raises(EnqueueRefused, match="1 to 1024 bytes"):
                app.enqueue_sync(job(), mine, unique_key=key)
            with pytest.raises(EnqueueRefused, match="1 to 1024 bytes"):
                app.enqueue_many_sync([job(unique_key=key)], mine)


def test_a_batch_may_give_each_job_its_time_and_its_key(dsn: str, conn: Connection) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    with psycopg.connect(dsn) as mine:
        ids = app.enqueue_many_sync(
            [
                job(0),
                job(1, unique_key="x", run_at=later),
                job(2, unique_key=None, delay_s=60),
                job(3),
                job(4, task="b", unique_key=None),
            ],
            mine,
        )
    stored = {row[0]: (row[1], row[-1]) for row in rows(conn)}

    assert ids[3] is None
    assert [stored[i] for i in ids if i] == [
        ("ready", "0"), ("scheduled", "1"), ("scheduled", "2"), ("ready", "4"),
    ]  # fmt: skip
