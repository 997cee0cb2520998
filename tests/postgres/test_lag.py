"""What a row of `queue_lag` says of a queue, its workers and what they have done."""

import asyncio
from dataclasses import replace

import pytest
from tests.support.engine import bury, engine, load, release, retry, succeed
from tests.support.postgres import Connection

from queueworker.store import LagRow, StatDelta, WorkerLoad, WorkerRow
from queueworker.waits import wait_bucket

pytestmark = pytest.mark.postgres

PUBLISHED = (
    "queue sampled_at ready ready_is_exact oldest_ready_age_s running scheduled due_5s due_60s"
    " due_300s dead enqueued_total promoted_total retried_total released_total rescued_total"
    " started_total succeeded_total failed_total busy_slot_seconds_total service_count"
    " service_sum_s service_sq_sum_s2 wait_histogram slots busy_slots workers draining_workers"
    " paused ready_by_task worker_tasks rescued_pod_gone_total refused_total"
)


def test_the_published_columns_stand(conn: Connection) -> None:
    cursor = conn.execute("SELECT * FROM queueworker.queue_lag('{}')")

    assert " ".join(column.name for column in cursor.description or ()) == PUBLISHED


def test_a_queue_that_does_not_exist_has_no_row_and_an_empty_one_has_zeros(dsn: str) -> None:
    async def scenario() -> list[LagRow]:
        async with engine(dsn) as e:
            return await e.store.lag(["mail", "nowhere"])

    (row,) = asyncio.run(scenario())

    assert (row.queue, row.ready, row.ready_is_exact, row.workers) == ("mail", 0, True, 0)
    assert (len(row.due_5s), len(row.wait_histogram)) == (60, 48)


def test_ready_is_what_nobody_runs_wherever_it_stands(dsn: str) -> None:
    async def scenario() -> tuple[LagRow, LagRow]:
        async with engine(dsn) as e:
            await e.enqueue(10)
            # Due, but nobody promoted them yet.
            await e.all(
                "SELECT queueworker.enqueue('mail', 'b', run_at => clock_timestamp() + '1 min')"
                " FROM generate_series(1, 3)"
            )
            await e.conn.execute(
                "UPDATE queueworker.job SET run_at = run_at - interval '2 min' WHERE pos IS NULL"
            )
            alive = await e.worker()
            await e.claim(alive, 4)
            await e.store.renew(alive, 60, load(busy=1, held=3))
            gone = await e.worker()
            await e.claim(gone, 2)
            before = await e.lag()
            await e.expire(gone)
            return before, await e.lag()

    before, after = asyncio.run(scenario())

    assert (before.ready, before.running) == (4 + 3 + 3, 1)
    assert (after.ready, after.running) == (4 + 3 + 3 + 2, 1)
    assert after.ready_by_task == {"a": 6, "b": 3}
    assert after.oldest_ready_age_s == pytest.approx(60, abs=5)


def test_each_event_moves_its_own_counter(dsn: str) -> None:
    async def scenario() -> LagRow:
        async with engine(dsn) as e:
            await e.enqueue(10)
            worker = await e.worker()
            jobs = await e.claim(worker, 8)
            kinds = [succeed, succeed, succeed, retry, retry, bury, release]
            changes = [change(job) for change, job in zip(kinds, jobs, strict=False)]
            await e.store.complete(e.queue, changes, StatDelta(started=8))
            await e.sweep()  # promotes the two retries
            await e.expire(worker)
            await e.store.rescue()  # gives one job back
            return await e.lag()

    row = asyncio.run(scenario())

    assert row.enqueued_total == 10
    assert (row.started_total, row.succeeded_total, row.failed_total) == (8, 3, 3)
    assert (row.retried_total, row.promoted_total, row.released_total) == (2, 2, 1)
    assert (row.rescued_total, row.dead) == (1, 1)
    assert row.ready == 2 + 2 + 1 + 1


def test_what_only_the_worker_knows_adds_up(dsn: str) -> None:
    delta = StatDelta(
        started=3,
        busy_s=2.5,
        service_count=2,
        service_sum_s=3.0,
        service_sq_sum_s2=5.0,
        waits={0: 2, 47: 1},
    )

    async def scenario() -> LagRow:
        async with engine(dsn) as e:
            await e.store.complete(e.queue, [], delta)
            await e.sweep()
            await e.store.complete(e.queue, [], delta)
            return await e.lag()

    row = asyncio.run(scenario())

    assert (row.busy_slot_seconds_total, row.service_count, row.service_sum_s) == (5.0, 4, 6.0)
    assert (row.service_sq_sum_s2, row.started_total) == (10.0, 6)
    assert {i: n for i, n in enumerate(row.wait_histogram) if n} == {0: 4, 47: 2}


@pytest.mark.parametrize(
    ("wait_s", "bucket"), [(0, 0), (0.01, 0), (0.0101, 1), (0.02, 2), (1e9, 47), (0.0141, 1)]
)
def test_a_wait_falls_into_the_first_bucket_that_holds_it(wait_s: float, bucket: int) -> None:
    assert wait_bucket(wait_s) == bucket


def test_announced_jobs_stand_in_buckets_of_5_s(dsn: str) -> None:
    async def scenario() -> LagRow:
        async with engine(dsn) as e:
            for after, count in (("7 s", 2), ("58 s", 3), ("250 s", 4), ("1 day", 5)):
                await e.all(
                    "SELECT queueworker.enqueue('mail', 'a', run_at => clock_timestamp() + %s::interval)"
                    " FROM generate_series(1, %s)",
                    after,
                    count,
                )
            return await e.lag()

    row = asyncio.run(scenario())

    assert (row.ready, row.due_60s, row.due_300s, row.scheduled) == (0, 5, 9, 14)
    assert (row.due_5s[1], row.due_5s[11], row.due_5s[49]) == (2, 3, 4)


def test_slots_are_those_of_live_workers_and_loads_are_told_apart_by_queue(dsn: str) -> None:
    async def scenario() -> tuple[LagRow, LagRow]:
        async with engine(dsn) as e:
            one = await e.worker(slots=4)
            both = WorkerRow(
                id=one,
                pod="p",
                namespace="",
                node="",
                version="",
                queues=("mail", "reports"),
                tasks=("b", "a"),
                slots=10,
                ttl_s=60,
            )
            both = replace(both, id=await e.one("SELECT gen_random_uuid()"))
            await e.store.register(both)
            dead = await e.worker(slots=100)
            await e.expire(dead)
            await e.store.renew(one, 60, WorkerLoad(slots=4, busy=2, held=1, draining=True))
            shared = WorkerLoad(
                slots=10,
                busy=5,
                held=3,
                busy_by_queue={"reports": 4, "mail": 1},
                held_by_queue={"mail": 3},
            )
            await e.store.renew(both.id, 60, shared)
            mail, reports = await e.store.lag(["mail", "reports"])
            return mail, reports

    mail, reports = asyncio.run(scenario())

    assert (mail.workers, mail.slots, mail.busy_slots, mail.ready) == (2, 14, 3, 4)
    assert (mail.draining_workers, mail.worker_tasks) == (1, ["a", "b"])
    assert (reports.workers, reports.slots, reports.running, reports.ready) == (1, 10, 4, 0)
