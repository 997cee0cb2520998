"""Of many producers that want one key at once, one gets it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
from tests.support.keyed import app, job, rows
from tests.support.postgres import Connection, has_waiter
from tests.support.waiting import wait_until

from queueworker import DuplicateJob, Job

pytestmark = pytest.mark.postgres

RACERS = 100


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


def enqueue_alone(dsn: str, one: Job) -> int | None:
    with psycopg.connect(dsn, autocommit=True) as mine:
        return app.enqueue_sync(one, mine)
