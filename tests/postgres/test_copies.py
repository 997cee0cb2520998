"""A large batch is copied, and is like any other to its caller and to the queue."""

import asyncio
from typing import Any

import psycopg
import pytest
from tests.support.postgres import Connection
from tests.support.producing import app, count, deep, job

from queueworker import App, EnqueueRefused, Job
from queueworker.enqueue import plan
from queueworker.enqueue.plan import CopyStep

pytestmark = pytest.mark.postgres

LARGE = plan.COPY_FROM_JOBS + 1


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
