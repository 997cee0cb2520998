"""An app's own connection: kept, opened anew, and shared with nobody who must not have it."""

import asyncio
import os
import time
from pathlib import Path

import psycopg
import pytest
from tests.support.postgres import Connection
from tests.support.producing import app, count, job, send_mail

from queueworker import App, DatabaseUnavailable, EnqueueRefused

pytestmark = pytest.mark.postgres


def end_sessions(conn: Connection) -> None:
    """End every producer's session, as a restart of the server does; come back when they are gone."""
    name = "queueworker-producer"
    conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
        (name,),
    )
    deadline = time.monotonic() + 10
    while conn.execute(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = %s", (name,)
    ).fetchone():
        assert time.monotonic() < deadline


def test_a_connection_that_broke_while_idle_is_opened_anew(dsn: str, conn: Connection) -> None:
    async def scenario() -> None:
        async with App(dsn) as producer:
            await producer.enqueue(send_mail())
            end_sessions(conn)
            await producer.enqueue(send_mail())
            end_sessions(conn)
            await producer.enqueue_many([send_mail()] * 2)

    asyncio.run(scenario())
    producer = App(dsn)
    for _ in range(3):
        producer.enqueue_sync(send_mail())
        end_sessions(conn)
    producer.close_sync()

    assert count(conn) == 7


def test_a_healthy_connection_is_kept(dsn: str) -> None:
    producer = App(dsn)
    pids = set()
    for _ in range(3):
        producer.enqueue_sync(send_mail())
        assert producer._producer._sync_cursor is not None
        pids.add(producer._producer._sync_cursor.connection.info.backend_pid)
    producer.close_sync()

    assert len(pids) == 1


def test_one_connection_serves_all_kinds_of_jobs_in_turn(dsn: str, conn: Connection) -> None:
    """Its cursor is kept: what one job leaves behind must not reach the next."""

    async def produce() -> list[int | None]:
        async with App(dsn) as producer:
            given = [job(0), job(1, unique_key="k"), job(2, timeout_s=2.5), job(3, delay_s=60)]
            ids = [await producer.enqueue(one) for one in given * 3]
            for refused in (job(4, priority=99), job("x" * 2**21)):
                with pytest.raises(EnqueueRefused):
                    await producer.enqueue(refused)
            return [*ids, await producer.enqueue(job(5))]

    ids = asyncio.run(produce())
    stored = conn.execute(
        "SELECT id, (args ->> 'n')::int, unique_key, timeout_s, run_at > created_at"
        " FROM queueworker.job ORDER BY created_at"
    ).fetchall()

    kinds = {0: (None, None, False), 1: ("k", None, False), 2: (None, 2.5, False)}
    kinds |= {3: (None, None, True), 5: (None, None, False)}
    expected = [0, 1, 2, 3, 0, None, 2, 3, 0, None, 2, 3, 5]
    assert [n is None for n in expected] == [found is None for found in ids]
    assert stored == [
        (found, n, *kinds[n]) for found, n in zip(ids, expected, strict=True) if n is not None
    ]


def test_each_event_loop_has_its_own_connection_and_ended_ones_leave_none(
    dsn: str, conn: Connection
) -> None:
    producer = App(dsn)

    async def one() -> int | None:
        return await producer.enqueue(send_mail())

    ids = [asyncio.run(one()) for _ in range(3)]

    async def last() -> None:
        await producer.close()

    asyncio.run(last())

    assert len(set(ids)) == 3
    deadline = time.monotonic() + 10
    while conn.execute(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'queueworker-producer'"
    ).fetchone():
        assert time.monotonic() < deadline


def test_tasks_of_one_loop_take_turns(dsn: str) -> None:
    async def scenario() -> list[int | None]:
        async with App(dsn) as producer:
            return await asyncio.gather(*[producer.enqueue(send_mail()) for _ in range(50)])

    assert len(set(asyncio.run(scenario()))) == 50


def test_after_a_fork_parent_and_child_do_not_share_a_connection(
    dsn: str, conn: Connection
) -> None:
    producer = App(dsn)
    producer.enqueue_sync(send_mail(to="parent"))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for _ in range(20):
                producer.enqueue_sync(send_mail(to="child"))
            code = 0
        finally:
            os._exit(code)
    for _ in range(20):
        producer.enqueue_sync(send_mail(to="parent"))
    _, status = os.waitpid(child, 0)
    producer.close_sync()

    assert os.waitstatus_to_exitcode(status) == 0
    assert count(conn) == 41


def test_an_unreachable_server_is_said_so_at_once(tmp_path: Path) -> None:
    producer = App(f"host={tmp_path} user=me password=canary-7f3a-secret dbname=shop")
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match="can be reached") as refused:
        producer.enqueue_sync(send_mail())

    assert time.monotonic() - began < 5
    assert "canary" not in str(refused.value)


def test_a_lock_is_not_waited_for_without_end(dsn: str, conn: Connection) -> None:
    producer = App(f"{dsn} options='-c lock_timeout=300'")
    producer.enqueue_sync(send_mail())
    with conn.transaction():
        conn.execute("LOCK TABLE queueworker.job IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="holds a lock"):
            producer.enqueue_sync(send_mail())
    assert time.monotonic() - began < 5
    assert producer.enqueue_sync(send_mail()) is not None
    producer.close_sync()


def test_a_producers_session_has_limits(dsn: str) -> None:
    producer = App(dsn)
    producer.enqueue_sync(send_mail())
    session = producer._producer._sync_cursor
    assert session is not None
    limits = session.execute(
        "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"
    ).fetchone()
    producer.close_sync()

    assert limits == ("10s", "5s")


def test_an_enqueue_of_unknown_outcome_is_asked_again_by_its_key(
    dsn: str, conn: Connection
) -> None:
    """Fault row 18: the server commits, the answer is lost."""
    conn.execute("SELECT queueworker.ensure_queue('mail')")
    lost = psycopg.connect(dsn, autocommit=True)
    lost.pgconn.send_query(
        b"SELECT queueworker.enqueue('mail', 'send_mail', unique_key => 'order-7')"
    )
    lost.pgconn.flush()
    deadline = time.monotonic() + 10
    while count(conn) == 0:
        assert time.monotonic() < deadline
    lost.close()
    with psycopg.connect(dsn, autocommit=True) as mine:
        again = app.enqueue_sync(send_mail(), mine, unique_key="order-7")

    assert again is None
    assert count(conn) == 1
