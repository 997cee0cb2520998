"""What a producer meets: large batches, broken connections, wrong calls, forks, hostile payloads."""

import asyncio
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.postgres import Connection

from queueworker import App, DatabaseUnavailable, EnqueueRefused, InvalidCall, Job
from queueworker.enqueue import plan
from queueworker.enqueue.plan import CopyStep

pytestmark = pytest.mark.postgres

app = App()
LARGE = plan.COPY_FROM_JOBS + 1
HOWTO = (Path(__file__).parents[2] / "docs/howto/producers.md").read_text()


@app.task(queue="mail")
async def send_mail(to: str = "x") -> None:
    """Stand for a task; never run here."""


def job(n: object = 0, **options: Any) -> Job:
    return Job(**{"task": "a", "queue": "mail", "args": {"n": n}, **options})


def count(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) FROM queueworker.job").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the jobs of each COPY that is made."""
    made: list[int] = []
    chunks = CopyStep.chunks

    def noted(self: CopyStep, *given: Any) -> Any:
        made.append(len(self.texts))
        return chunks(self, *given)

    monkeypatch.setattr(CopyStep, "chunks", noted)
    return made


# --- large batches ---------------------------------------------------------------------------


def test_a_large_batch_is_copied_in_order_and_is_like_any_other(
    dsn: str, conn: Connection, copies: list[int]
) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'a', max_attempts => 3, timeout_s => 2.5)")
    batch = [job(n, max_attempts=3, timeout_s=2.5) for n in range(LARGE)]
    with psycopg.connect(dsn) as mine:
        ids = app.enqueue_many_sync(batch, mine)
    alike = conn.execute(
        "SELECT DISTINCT pos = id, token, lane_id, queue_id, attempt, max_attempts, crash_count, timeout_s,"
        " unique_key, run_at = created_at, abs(extract(epoch FROM clock_timestamp() - run_at)) < 60"
        " FROM queueworker.job"
    ).fetchall()
    stored = conn.execute(
        "SELECT args -> 'n' FROM unnest(%s::bigint[]) WITH ORDINALITY AS i (id, place)"
        " JOIN queueworker.job USING (id) ORDER BY place",
        (ids,),
    ).fetchall()

    assert copies == [LARGE]
    assert len(alike) == 1
    assert [n for (n,) in stored] == list(range(LARGE))


def test_a_copy_belongs_to_the_callers_transaction(
    dsn: str, conn: Connection, copies: list[int]
) -> None:
    async def scenario() -> None:
        async with await psycopg.AsyncConnection.connect(dsn) as mine:
            await app.enqueue_many([job(n) for n in range(LARGE)], mine)
            await mine.rollback()
            await app.enqueue_many([job(n) for n in range(LARGE)], mine)
            await mine.commit()

    asyncio.run(scenario())

    assert copies == [LARGE, LARGE]
    assert count(conn) == LARGE


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("bad", [job(deep(200)), job(["x" * 9] * 100_000)], ids=["deep", "large"])
def test_one_bad_job_refuses_the_whole_copy(
    bad: Job, dsn: str, conn: Connection, copies: list[int]
) -> None:
    batch = [*(job(n) for n in range(LARGE)), bad, job(task="b")]
    with psycopg.connect(dsn, autocommit=True) as mine, pytest.raises(EnqueueRefused):
        app.enqueue_many_sync(batch, mine)

    assert count(conn) == 0
    assert len(copies) <= 1


def test_every_text_survives_a_copy(dsn: str, conn: Connection, copies: list[int]) -> None:
    texts = ["\\", "\\N", "\t", "\n", "\\.", '"', "ü😀", "\x7f", "\\u0041", "a\\tb", ""]
    batch = [job(texts[n % len(texts)]) for n in range(LARGE)]
    with psycopg.connect(dsn) as mine:
        app.enqueue_many_sync(batch, mine)
    stored = conn.execute("SELECT DISTINCT args ->> 'n' FROM queueworker.job").fetchall()

    assert copies == [LARGE]
    assert {text for (text,) in stored} == set(texts)


def test_a_copy_finds_a_queue_that_has_moved_to_its_own_partition(
    dsn: str, conn: Connection, copies: list[int]
) -> None:
    with psycopg.connect(dsn, autocommit=True) as mine:
        app.enqueue_many_sync([job()] * LARGE, mine)
        conn.execute("DELETE FROM queueworker.job")
        conn.execute("SELECT queueworker.queue_create('mail')")
        app.enqueue_many_sync([job()] * LARGE, mine)
        app.enqueue_sync(job(), mine)
    part = conn.execute("SELECT part FROM queueworker.queue").fetchone()
    left = conn.execute("SELECT count(*) FROM queueworker.job_default").fetchone()

    assert copies == [LARGE, LARGE]
    assert part is not None
    assert part[0] != "job_default"
    assert left == (0,)
    assert count(conn) == LARGE + 1


@pytest.mark.parametrize("size", [1, 10, LARGE])
def test_a_sleeping_queue_is_woken_once_by_whatever_comes(
    size: int, dsn: str, conn: Connection
) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'a')")
    conn.execute("UPDATE queueworker.queue SET idle = true")
    conn.execute("LISTEN queueworker")
    with psycopg.connect(dsn) as mine:
        app.enqueue_many_sync([job()] * size, mine)
        mine.commit()
        app.enqueue_many_sync([job(delay_s=60)] * 3, mine)
    woken = [note.payload for note in conn.notifies(timeout=5, stop_after=1)]
    woken += [note.payload for note in conn.notifies(timeout=0.2)]

    assert woken == ["job:mail"]


def test_the_enqueue_only_role_needs_no_copy(dsn: str, conn: Connection, copies: list[int]) -> None:
    conn.execute("DROP ROLE IF EXISTS web_app")
    conn.execute("CREATE ROLE web_app LOGIN IN ROLE queueworker_enqueue")
    producer = App(dsn.replace("user=postgres", "user=web_app"))
    try:
        many = producer.enqueue_many_sync([job(n) for n in range(LARGE)])
        producer.enqueue_many_sync([job(unique_key="k", on_duplicate="replace")] * 2)
        producer.enqueue_sync(job(delay_s=60))
    finally:
        producer.close_sync()

    assert copies == []
    assert len(set(many)) == LARGE
    assert count(conn) == LARGE + 2


def test_the_worker_role_copies_and_cannot_forge_what_a_claim_writes(
    dsn: str, conn: Connection, copies: list[int]
) -> None:
    conn.execute("DROP ROLE IF EXISTS bulk_app")
    conn.execute("CREATE ROLE bulk_app LOGIN IN ROLE queueworker_worker")
    producer = App(dsn.replace("user=postgres", "user=bulk_app"))
    try:
        producer.enqueue_many_sync([job(n) for n in range(LARGE)])
    finally:
        producer.close_sync()

    assert copies == [LARGE]
    assert count(conn) == LARGE


# --- connections of the app's own -------------------------------------------------------------


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


# --- wrong calls ------------------------------------------------------------------------------


def test_wrong_calls_say_what_to_write_instead(dsn: str) -> None:
    async def scenario() -> None:
        with psycopg.connect(dsn) as sync:
            with pytest.raises(
                InvalidCall, match=r"send_mail was not called; write enqueue\(send_mail\("
            ):
                await app.enqueue(send_mail)  # type: ignore[arg-type]
            with pytest.raises(InvalidCall, match="call enqueue_sync"):
                await app.enqueue(send_mail(), sync)  # type: ignore[arg-type]
            with pytest.raises(InvalidCall, match="call enqueue_sync"):
                await app.enqueue_many([send_mail()], sync)  # type: ignore[arg-type]
        async with await psycopg.AsyncConnection.connect(dsn) as mine:
            with pytest.raises(InvalidCall, match="await enqueue"):
                app.enqueue_sync(send_mail(), mine)  # type: ignore[arg-type]
            with pytest.raises(InvalidCall, match="await enqueue"):
                app.enqueue_many_sync([send_mail()], mine)  # type: ignore[arg-type]

    asyncio.run(scenario())
    with pytest.raises(InvalidCall, match="was not called"):
        app.enqueue_many_sync([send_mail])  # type: ignore[list-item]
    with pytest.raises(InvalidCall, match="takes a list"):
        app.enqueue_many_sync(send_mail())  # type: ignore[arg-type]
    with pytest.raises(InvalidCall, match="not dict"):
        app.enqueue_sync({"task": "a"})  # type: ignore[arg-type]
    with pytest.raises(InvalidCall, match=r"not str.*Django"):
        app.enqueue_sync(send_mail(), "postgresql://x")  # type: ignore[arg-type]


def test_no_jobs_are_no_work(dsn: str, conn: Connection) -> None:
    with psycopg.connect(dsn) as mine:
        assert app.enqueue_many_sync([], mine) == []
    assert (
        conn.execute("SELECT * FROM queueworker.enqueue_many('mail', 'a', '{}')").fetchall() == []
    )
    assert conn.execute(
        "SELECT queueworker.enqueue_batch('mail', 'a', '[]', 0, 5, NULL)"
    ).fetchone() == ([],)


# --- payloads, in Python and in SQL -------------------------------------------------------------

BOMBS: dict[str, Callable[[], object]] = {
    "100 MB": lambda: "y" * 100_000_000,
    "depth 1e5": lambda: deep(100_000),
    "depth 500": lambda: deep(500),
    "1e400": lambda: float("1e400"),
    "not a number": lambda: float("nan"),
    "NUL": lambda: "\0",
    "lone surrogate": lambda: "\ud800",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_payload_bomb_is_refused_in_python(name: str, dsn: str, conn: Connection) -> None:
    bomb = job(BOMBS[name]())
    calls = (
        lambda mine: app.enqueue_sync(bomb, mine),
        lambda mine: app.enqueue_many_sync([job(), bomb, job()], mine),
        lambda mine: app.enqueue_many_sync([job(unique_key="k"), bomb.using(delay_s=9)], mine),
    )
    with psycopg.connect(dsn, autocommit=True) as mine:
        for call in calls:
            with pytest.raises(EnqueueRefused, match=r"task 'a'|nested"):
                call(mine)

        assert app.enqueue_sync(job(), mine) is not None
    assert count(conn) == 1


SQL_BOMBS = {
    "100 MB": ("jsonb_build_object('x', repeat('y', 100000000))", "1 MiB"),
    "depth 500": ("(repeat('{\"x\":', 500) || '1' || repeat('}', 500))::jsonb", "nested"),
    "depth 1e5": ("(repeat('{\"x\":', 100000) || '1' || repeat('}', 100000))::jsonb", "stack depth"),
    "1e400": ("'{\"x\": 1e400}'", "beyond the range"),
    "-1e400": ("'{\"x\": [{\"y\": -1e400}]}'", "beyond the range"),
    "a number of 131,000 digits": ("'{\"x\": 1e131000}'", "beyond the range"),
    "NUL": ("'{\"x\": \"\\u0000\"}'", "Unicode"),
    "lone surrogate": ("'{\"x\": \"\\ud800\"}'", "json"),
    "no object": ("'[1]'", "JSON object"),
    "null": ("NULL", "JSON object"),
}  # fmt: skip
CALLS = {
    "enqueue": "SELECT queueworker.enqueue('mail', 'a', {})",
    "enqueue_many": "SELECT * FROM queueworker.enqueue_many('mail', 'a', ARRAY['{{}}', {}, '{{}}']::jsonb[])",
    "keyed": "SELECT * FROM queueworker.enqueue_many('mail', 'a', ARRAY[{}]::jsonb[], unique_keys => ARRAY['k'])",
    "batch": "SELECT queueworker.enqueue_batch('mail', 'a', '[{{}},' || coalesce(({})::text, 'null') || ']', 0, 5, NULL)",
}  # fmt: skip


@pytest.mark.parametrize("name", SQL_BOMBS)
def test_a_payload_bomb_is_refused_in_sql(name: str, conn: Connection) -> None:
    expression, reason = SQL_BOMBS[name]
    conn.execute("SELECT queueworker.enqueue('mail', 'a')")
    for call in CALLS.values():
        with pytest.raises(psycopg.Error, match=f"(?i){reason}"):
            conn.execute(call.format(expression))

    assert count(conn) == 1


def test_large_and_exact_numbers_that_a_double_holds_are_accepted(conn: Connection) -> None:
    args = '{"a": 1.7e308, "b": 1e-400, "c": 12345678901234567890123456789, "d": "1e400", "e": "9e999"}'
    conn.execute("SELECT queueworker.enqueue('mail', 'a', %s::jsonb)", (args,))
    conn.execute("SELECT * FROM queueworker.enqueue_many('mail', 'a', ARRAY[%s::jsonb])", (args,))

    assert count(conn) == 2


# --- the how-to -------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", HOWTO, re.MULTILINE | re.DOTALL)


def test_the_how_tos_python_runs(dsn: str, conn: Connection) -> None:
    conn.execute("CREATE TABLE account (id int, address text)")
    space: dict[str, Any] = {}
    for block in blocks("python")[:2]:
        exec(block, space)  # noqa: S102 - the page is ours

    async def scenario() -> list[int | None]:
        async with await psycopg.AsyncConnection.connect(dsn) as mine:
            await space["sign_up"](mine, 7, "ann@example.org")
        space["app"] = App(dsn)
        async with space["app"]:
            await space["place"](1)
            await space["place"](1)
            return await space["import_all"](["a@example.org", "b@example.org"])

    ids = asyncio.run(scenario())

    assert None not in ids
    assert count(conn) == 5


def test_the_how_tos_sql_runs(conn: Connection) -> None:
    conn.execute("CREATE TABLE account (address text)")
    for _ in range(2):
        conn.execute(blocks("sql")[0])

    assert count(conn) == 3
