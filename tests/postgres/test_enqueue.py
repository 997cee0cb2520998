"""An enqueue stores the job as its task says, in the transaction that its caller means."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.support.postgres import Connection, has_waiter
from tests.support.producing import jobs_of
from tests.support.waiting import wait_until

from queueworker import App, EnqueueRefused
from queueworker.enqueue.plan import USUAL_OPTIONS
from queueworker.job import Job

pytestmark = pytest.mark.postgres

app = App()


@app.task(queue="mail", priority=3, max_attempts=7, timeout_s=30)
async def send_mail(to: str, subject: str = "hi") -> None:
    """Stand for a task; never run here."""


def test_a_job_is_stored_as_its_task_says(dsn: str, conn: Connection) -> None:
    async def scenario() -> int | None:
        async with App(dsn) as producer:
            return await producer.enqueue(send_mail(to="a@example.org"))

    job_id = asyncio.run(scenario())

    assert job_id is not None
    assert jobs_of(conn) == [("mail", "send_mail", 3, "ready", 7, 30.0, {"to": "a@example.org"})]


def test_a_job_of_usual_options_is_stored_as_it_says(dsn: str, conn: Connection) -> None:
    """They are not sent: the database's defaults must be the same."""
    priority, max_attempts, timeout_s = USUAL_OPTIONS
    usual = Job(
        task="a",
        queue="mail",
        args={"n": 1},
        priority=priority,
        max_attempts=max_attempts,
        timeout_s=timeout_s,
    )
    with psycopg.connect(dsn) as mine:
        app.enqueue_sync(usual, mine)

    assert jobs_of(conn) == [("mail", "a", priority, "ready", max_attempts, timeout_s, {"n": 1})]


def test_a_commit_publishes_and_a_rollback_leaves_nothing(dsn: str, conn: Connection) -> None:
    async def scenario() -> None:
        async with await psycopg.AsyncConnection.connect(dsn) as mine:
            await app.enqueue(send_mail(to="kept"), conn=mine)
            assert jobs_of(conn) == []
            await mine.commit()
            await app.enqueue(send_mail(to="lost"), conn=mine)
            await mine.rollback()

    asyncio.run(scenario())

    assert [row[-1] for row in jobs_of(conn)] == [{"to": "kept"}]


def test_synchronous_code_enqueues_in_its_own_transaction(dsn: str, conn: Connection) -> None:
    with psycopg.connect(dsn) as mine:
        app.enqueue_sync(send_mail(to="kept"), mine)
        app.enqueue_many_sync([send_mail(to=f"many-{n}") for n in range(3)], mine)
        mine.commit()
        app.enqueue_sync(send_mail(to="lost"), mine)
        mine.rollback()

    assert [row[-1]["to"] for row in jobs_of(conn)] == ["kept", "many-0", "many-1", "many-2"]  # type: ignore[index]


def test_a_rollback_takes_a_batch_back_that_opened_the_transaction(
    dsn: str, conn: Connection
) -> None:
    async def scenario() -> None:
        async with await psycopg.AsyncConnection.connect(dsn) as mine:
            await app.enqueue_many([send_mail(to="a"), send_mail(to="b")], conn=mine)
            await mine.rollback()

    asyncio.run(scenario())
    with psycopg.connect(dsn) as mine:
        app.enqueue_many_sync([send_mail(to="a"), send_mail(to="b")], mine)
        mine.rollback()

    assert jobs_of(conn) == []


def test_a_refused_batch_leaves_nothing_on_an_autocommit_connection(
    dsn: str, conn: Connection
) -> None:
    batch = [send_mail(to="a"), Job(task="", queue="mail", args={})]
    with psycopg.connect(dsn, autocommit=True) as mine, pytest.raises(EnqueueRefused):
        app.enqueue_many_sync(batch, mine)

    assert jobs_of(conn) == []


@pytest.mark.parametrize("kind", ["Client", "Raw"])
def test_the_callers_connection_may_make_cursors_and_rows_of_any_kind(
    dsn: str, conn: Connection, kind: str
) -> None:
    async def scenario() -> None:
        factory = getattr(psycopg, f"Async{kind}Cursor")
        async with await psycopg.AsyncConnection.connect(
            dsn, cursor_factory=factory, row_factory=dict_row
        ) as mine:
            await app.enqueue(send_mail(to="a"), mine)
            await app.enqueue_many([send_mail(to="b")], mine)

    asyncio.run(scenario())
    factory = getattr(psycopg, f"{kind}Cursor")
    with psycopg.connect(dsn, cursor_factory=factory, row_factory=dict_row) as mine:
        app.enqueue_sync(send_mail(to="c"), mine)
        app.enqueue_many_sync([send_mail(to="d")], mine)

    assert len(jobs_of(conn)) == 4


def test_an_enqueue_during_queue_create_waits_and_is_kept(dsn: str, conn: Connection) -> None:
    conn.execute("SELECT queueworker.ensure_queue('mail')")

    def enqueue() -> None:
        with psycopg.connect(dsn) as mine:
            app.enqueue_sync(send_mail(to="x"), mine)

    with psycopg.connect(dsn) as admin, ThreadPoolExecutor(1) as threads:
        admin.execute("SELECT queueworker.queue_create('mail')")
        waiting = threads.submit(enqueue)
        wait_until(lambda: has_waiter(conn), what="a blocked enqueue", every_s=0.02)
        admin.commit()
        waiting.result(10)

    assert len(jobs_of(conn)) == 1


def test_an_app_keeps_a_connection_for_synchronous_enqueues(dsn: str, conn: Connection) -> None:
    producer = App(dsn)
    try:
        ids = [producer.enqueue_sync(send_mail(to="x")) for _ in range(3)]
    finally:
        producer.close_sync()

    assert len(set(ids)) == 3
    assert len(jobs_of(conn)) == 3


def test_many_jobs_of_several_kinds_come_back_in_order(dsn: str, conn: Connection) -> None:
    kinds = [
        Job(task=f"task-{n % 3}", queue=f"queue-{n % 2}", args={"n": n}, priority=n % 4)
        for n in range(24)
    ]

    async def scenario() -> list[int | None]:
        async with App(dsn) as producer:
            return await producer.enqueue_many(kinds)

    ids = asyncio.run(scenario())
    stored = dict(conn.execute("SELECT id, args FROM queueworker.jobs").fetchall())

    assert [stored[i] for i in ids] == [dict(job.args) for job in kinds]


def test_a_taken_unique_key_enqueues_nothing(dsn: str, conn: Connection) -> None:
    async def scenario() -> list[int | None]:
        async with App(dsn) as producer:
            return [
                await producer.enqueue(send_mail(to="x"), unique_key=key)
                for key in ("one", "one", "two", None, None)
            ]

    ids = asyncio.run(scenario())
    batch = conn.execute(
        "SELECT * FROM queueworker.enqueue_many('mail', 'b', ARRAY['{}', '{}', '{}']::jsonb[],"
        " unique_keys => ARRAY['two', 'new', 'new'])"
    ).fetchall()

    assert [job_id is None for job_id in ids] == [False, True, False, False, False]
    assert [job_id is None for (job_id,) in batch] == [True, False, True]
    lag = conn.execute("SELECT enqueued_total FROM queueworker.queue_lag(ARRAY['mail'])").fetchone()
    assert lag == (5,)


def test_a_delayed_job_is_scheduled_by_the_databases_clock(dsn: str, conn: Connection) -> None:
    async def scenario() -> None:
        async with App(dsn) as producer:
            await producer.enqueue(send_mail(to="x"), delay_s=60)
            await producer.enqueue(
                send_mail(to="y"), run_at=datetime.now(UTC) + timedelta(seconds=60)
            )
            await producer.enqueue(send_mail(to="z"), delay_s=-5)

    asyncio.run(scenario())
    rows = conn.execute(
        "SELECT state, extract(epoch FROM run_at - clock_timestamp()) FROM queueworker.jobs"
        " ORDER BY args ->> 'to'"
    ).fetchall()

    assert [state for state, _ in rows] == ["scheduled", "scheduled", "ready"]
    assert [float(age) for _, age in rows] == pytest.approx([60, 60, 0], abs=6)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(EnqueueRefused, match="time zone"):
        app.enqueue_sync(send_mail(to="x"), run_at=datetime(2030, 1, 1))  # noqa: DTZ001


def test_plain_sql_enqueues(conn: Connection) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'send_mail', '{\"to\": \"sql\"}')")

    assert jobs_of(conn) == [("mail", "send_mail", 0, "ready", 5, None, {"to": "sql"})]


def test_producers_that_use_a_new_queue_at_once_share_it(dsn: str, conn: Connection) -> None:
    async def one(number: int) -> int | None:
        async with App(dsn) as producer:
            return await producer.enqueue(
                Job(task="t", queue=f"fresh-{number % 3}", args={"n": number})
            )

    async def scenario() -> list[int | None]:
        return await asyncio.gather(*[one(number) for number in range(12)])

    ids = asyncio.run(scenario())

    assert len(set(ids)) == 12
    assert conn.execute("SELECT count(*) FROM queueworker.queue").fetchone() == (3,)
    assert conn.execute("SELECT count(*) FROM queueworker.lane").fetchone() == (3,)
