"""Unique keys: one job with a key waits or runs; the policy decides about the second."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest
from tests.support.engine import engine, retry, succeed
from tests.support.postgres import Connection, has_waiter
from tests.support.waiting import wait_until

from queueworker import App, DuplicateJob, EnqueueRefused, Job

pytestmark = pytest.mark.postgres

app = App()
RACERS = 100


@app.task(queue="mail", unique="{user_id}", on_duplicate="replace")
async def digest(user_id: int, hour: int = 8) -> None:
    """Stand for a task; never run here."""


def job(n: int = 0, **options: Any) -> Job:
    fields: dict[str, Any] = {"task": "a", "queue": "mail", "unique_key": "k", "args": {"n": n}}
    return Job(**{**fields, **options})


def rows(conn: Connection) -> list[tuple[Any, ...]]:
    return conn.execute(
        "SELECT id, state, priority, attempt, args ->> 'n' FROM queueworker.jobs ORDER BY id"
    ).fetchall()


def place(conn: Connection) -> tuple[Any, ...]:
    return conn.execute("SELECT pos, run_at FROM queueworker.job").fetchone() or ()


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


def test_a_key_is_free_again_when_its_job_has_ended(dsn: str, conn: Connection) -> None:
    async def scenario() -> int | None:
        async with engine(dsn) as e:
            await app.enqueue(job(1), e.conn)
            (claimed,) = await e.claim(await e.worker())
            await e.store.complete(e.queue, [succeed(claimed)])
            return await app.enqueue(job(2), e.conn, on_duplicate="reject")

    assert asyncio.run(scenario()) is not None
    assert [row[-1] for row in rows(conn)] == ["2"]


def test_a_rollback_brings_the_replaced_job_back(dsn: str, conn: Connection) -> None:
    with psycopg.connect(dsn) as mine:
        app.enqueue_sync(job(1), mine)
        mine.commit()
        app.enqueue_sync(job(2, priority=4), mine, on_duplicate="replace")
        mine.rollback()

    assert [(row[2], row[-1]) for row in rows(conn)] == [(0, "1")]


def race(dsn: str, call: Callable[[Connection, int], object]) -> list[Any]:
    """Let 100 producers call at the same time, each on a connection of its own."""
    barrier = Barrier(RACERS)

    def one(number: int) -> object:
        with psycopg.connect(dsn, autocommit=True) as mine:
            barrier.wait(60)
            try:
                return call(mine, number)
            except DuplicateJob as exc:
                return exc

    with ThreadPoolExecutor(RACERS) as threads:
        return list(threads.map(one, range(RACERS)))


@pytest.mark.parametrize("policy", ["keep", "reject", "replace"])
def test_of_100_producers_at_once_one_job_comes(policy: Any, dsn: str, conn: Connection) -> None:
    conn.execute("SELECT queueworker.ensure_queue('mail')")
    ids = race(dsn, lambda mine, n: app.enqueue_sync(job(n), mine, on_duplicate=policy))
    (row,) = rows(conn)
    won = [job_id for job_id in ids if isinstance(job_id, int)]
    (lag,) = conn.execute(
        "SELECT ready, enqueued_total FROM queueworker.queue_lag(ARRAY['mail'])"
    ).fetchall()

    assert set(won) == {row[0]}
    assert len(won) == (RACERS if policy == "replace" else 1)
    assert sum(isinstance(job_id, DuplicateJob) for job_id in ids) == (RACERS - 1) * (
        policy == "reject"
    )
    assert lag == (1, 1)


@pytest.mark.parametrize("policy", ["keep", "replace"])
def test_batches_with_the_same_keys_in_opposite_orders_do_not_deadlock(
    policy: Any, dsn: str, conn: Connection
) -> None:
    def call(mine: Connection, number: int) -> object:
        keys = range(10) if number % 2 else reversed(range(10))
        jobs = [job(number, unique_key=f"k{key}") for key in keys]
        return app.enqueue_many_sync(jobs, mine, on_duplicate=policy)

    race(dsn, call)

    assert len(rows(conn)) == 10


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


def test_a_job_that_is_being_claimed_is_waited_for_and_then_left_alone(
    dsn: str, conn: Connection
) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'a', '{\"n\": 1}', unique_key => 'k')")
    with psycopg.connect(dsn) as claimer, ThreadPoolExecutor(1) as threads:
        claimer.execute("UPDATE queueworker.job SET token = 1, attempt = 1")
        replacing = threads.submit(enqueue_alone, dsn, job(2, on_duplicate="replace"))
        wait_until(lambda: has_waiter(conn), what="a blocked enqueue", every_s=0.02)
        claimer.commit()

        assert replacing.result(10) is None
    assert [(row[1], row[-1]) for row in rows(conn)] == [("running", "1")]


def test_a_batch_takes_its_keys_in_their_order_whatever_order_its_jobs_have(
    dsn: str, conn: Connection
) -> None:
    def batch() -> list[int | None]:
        with psycopg.connect(dsn, autocommit=True) as mine:
            jobs = [job(0, unique_key="k2"), job(0, unique_key="k1")]
            return app.enqueue_many_sync(jobs, mine, on_duplicate=policy)

    conn.execute("SELECT queueworker.enqueue('mail', 'a')")
    policies: tuple[Any, ...] = ("keep", "replace")
    for policy in policies:
        conn.execute("DELETE FROM queueworker.job")
        with psycopg.connect(dsn) as other, ThreadPoolExecutor(1) as threads:
            app.enqueue_sync(job(1, unique_key="k1"), other)
            waiting = threads.submit(batch)
            wait_until(lambda: has_waiter(conn), what="a blocked batch", every_s=0.02)
            app.enqueue_sync(job(1, unique_key="k2"), other)  # would close the circle
            other.commit()
            waiting.result(10)
        wanted = "1" if policy == "keep" else "0"
        assert [row[-1] for row in rows(conn)] == [wanted, wanted]


def test_a_position_that_was_drawn_for_a_taken_key_is_no_arrival(
    dsn: str, conn: Connection
) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'a')")  # makes the lane
    with psycopg.connect(dsn) as other, ThreadPoolExecutor(1) as threads:
        app.enqueue_sync(job(1), other)
        waiting = threads.submit(enqueue_alone, dsn, job(2))
        wait_until(lambda: has_waiter(conn), what="a blocked enqueue", every_s=0.02)
        other.commit()

        assert waiting.result(10) is None
    total = conn.execute(
        "SELECT enqueued_total FROM queueworker.queue_lag(ARRAY['mail'])"
    ).fetchone()

    assert total == (2,)


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


def enqueue_alone(dsn: str, one: Job) -> int | None:
    with psycopg.connect(dsn, autocommit=True) as mine:
        return app.enqueue_sync(one, mine)
