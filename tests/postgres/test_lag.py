import asyncio
import random
from dataclasses import replace

import psycopg
import pytest
from tests.support.engine import Engine, bury, engine, load, release, retry, succeed
from tests.support.postgres import Connection

from queueworker.job import Transition, TransitionKind
from queueworker.store import LagRow, StatDelta, WorkerLoad, WorkerRow
from queueworker.waits import wait_bucket

pytestmark = pytest.mark.postgres

PUBLISHED_LONG_AGO = (
    "UPDATE queueworker.queue_lag_published SET published_at = published_at - interval '1 min'"
)

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


def test_beyond_the_cap_the_count_is_near_and_says_so(dsn: str) -> None:
    async def scenario() -> tuple[LagRow, LagRow, LagRow]:
        async with engine(dsn) as e:
            await bulk(e, 1999)
            exact = await e.lag()
            await bulk(e, 8001)
            estimated = await e.lag()
            worker = await e.worker()
            for _ in range(4):
                jobs = await e.claim(worker, 1000)
                await e.store.complete(e.queue, [succeed(job) for job in jobs])
            return exact, estimated, await e.lag()

    exact, estimated, later = asyncio.run(scenario())

    assert (exact.ready, exact.ready_is_exact) == (1999, True)
    assert (estimated.ready, estimated.ready_is_exact) == (10_000, False)
    assert (later.ready, later.ready_is_exact) == (6_000, False)
    assert later.ready_by_task == {"a": 6_000}


def test_rolled_back_enqueues_stop_counting_once_the_queue_has_been_empty(dsn: str) -> None:
    async def scenario() -> int:
        async with engine(dsn) as e:
            await e.enqueue(1)
            async with await psycopg.AsyncConnection.connect(dsn) as mine:
                await mine.execute(
                    "SELECT count(*) FROM queueworker.enqueue_many('mail', 'a',"
                    " ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 5000)))"
                )
                await mine.rollback()
            (job,) = await e.claim(await e.worker(), 10)
            await e.store.complete(e.queue, [succeed(job)])
            for _ in range(3):
                await e.sweep()
            await bulk(e, 3000)
            return (await e.lag()).ready

    assert asyncio.run(scenario()) == 3000


def test_a_bulk_load_that_was_open_while_the_queue_was_empty_counts_in_full(dsn: str) -> None:
    async def scenario() -> int:
        async with engine(dsn) as e, engine(dsn) as producer:
            await e.enqueue(1)
            (job,) = await e.claim(await e.worker())
            await e.store.complete(e.queue, [succeed(job)])
            async with producer.conn.transaction():
                await bulk(producer, 5000)
                for _ in range(3):
                    await e.sweep()
            return (await e.lag()).ready

    assert asyncio.run(scenario()) == 5000


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


def test_worker_state_shows_what_the_operator_chooses_by(dsn: str) -> None:
    async def scenario() -> tuple[object, ...]:
        async with engine(dsn) as e:
            worker = await e.worker(pod="mail-1", ttl_s=30)
            await e.store.renew(
                worker, 30, WorkerLoad(slots=10, busy=1, held=2, oldest_start_age_s=7.0)
            )
            changed = await e.one("SELECT queueworker.set_drain(%s, true)", [worker])
            again = await e.one("SELECT queueworker.set_drain(%s, true)", [worker])
            renewal = await e.store.renew(worker, 30, load())
            (row,) = await e.store.worker_state(["mail"])
            return changed, again, renewal.drain, row.pod, row.drain, row.lease_remaining_s

    changed, again, drain, pod, flag, remaining_s = asyncio.run(scenario())

    assert (changed, again, drain, pod, flag) == (1, 0, True, "mail-1", True)
    assert remaining_s == pytest.approx(30, abs=5)


def test_a_drain_flag_is_heard_at_once(dsn: str) -> None:
    async def scenario() -> tuple[str, str]:
        async with engine(dsn) as e:
            worker = await e.worker()
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as ear:
                await ear.execute("LISTEN queueworker")
                await e.one("SELECT queueworker.set_drain(%s, true)", [worker])
                async for notice in ear.notifies(timeout=5, stop_after=1):
                    return notice.payload, f"drain:{worker}"
        return "", "nothing heard"

    heard, expected = asyncio.run(scenario())

    assert heard == expected


def test_the_last_200_changes_and_100_other_decisions_of_a_name_are_kept(conn: Connection) -> None:
    for number in range(205):
        for asked in (str(number), "null"):
            record = f'{{"n": {number}, "asked": {asked}}}'
            conn.execute("SELECT queueworker.record_decision('a', %s)", (record,))
    conn.execute("SELECT queueworker.record_decision('b', '{}')")
    conn.execute("SELECT queueworker.save_state('a', '{\"x\": 1}')")
    conn.execute("SELECT queueworker.save_state('a', '{\"x\": 2}')")
    records = [r for (r,) in conn.execute("SELECT record FROM queueworker.decisions('a', 500)")]

    assert [r["n"] for r in records if r["asked"] is not None] == list(range(204, 4, -1))
    assert [r["n"] for r in records if r["asked"] is None] == list(range(204, 104, -1))
    assert conn.execute("SELECT queueworker.load_state('a')").fetchone() == ({"x": 2},)
    assert conn.execute("SELECT queueworker.load_state('none')").fetchone() == (None,)


def test_a_settled_job_closes_its_claim_without_a_second_write(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            (job,) = await e.claim(await e.worker())
            await e.conn.execute("DELETE FROM queueworker.job")
            settled = Transition(job_id=job.id, token=job.token, kind=TransitionKind.SETTLED)
            refused = await e.store.complete(e.queue, [settled])
            return len(refused), await e.one("SELECT count(*) FROM queueworker.claim")

    assert asyncio.run(scenario()) == (0, 0)


def test_a_settled_queue_is_read_without_a_look_at_its_jobs(dsn: str, conn: Connection) -> None:
    async def scenario() -> LagRow:
        async with engine(dsn) as e, engine(dsn) as reader:
            await e.enqueue(7)
            await e.claim(await e.worker(), 2)
            for _ in range(3):
                await e.sweep()
            await reader.lag()
            with conn.transaction():
                conn.execute("LOCK TABLE queueworker.job_default IN ACCESS EXCLUSIVE MODE")
                return await asyncio.wait_for(reader.lag(), 5)

    row = asyncio.run(scenario())

    assert (row.ready, row.ready_is_exact, row.ready_by_task) == (5, True, {"a": 5})


def test_a_job_that_commits_after_the_count_is_not_overlooked(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e, engine(dsn) as slow:
            await e.enqueue(1)
            async with slow.conn.transaction():
                await slow.enqueue(2)
                for _ in range(3):
                    await e.sweep()
                counts = [(await e.lag()).ready]
            return [*counts, (await e.lag()).ready]

    assert asyncio.run(scenario()) == [1, 3]


def test_a_claim_that_commits_or_fails_after_the_count_is_not_overlooked(dsn: str) -> None:
    async def scenario(*, rolls_back: bool) -> list[int]:
        async with engine(dsn) as e, engine(dsn) as slow:
            await e.enqueue(5)
            worker = await e.worker()
            for _ in range(3):
                await e.sweep()
            async with slow.conn.transaction(force_rollback=rolls_back):
                await slow.claim(worker, 2)
                for _ in range(3):
                    await e.sweep()
                counts = [(await e.lag()).ready]
            counts.append((await e.lag()).ready)
            for _ in range(3):
                await e.sweep()
            return [*counts, (await e.lag()).ready]

    assert asyncio.run(scenario(rolls_back=True)) == [5, 5, 5]
    # Of the five jobs of the first round, two more are claimed in the second.
    assert asyncio.run(scenario(rolls_back=False)) == [10, 8, 8]


def test_a_retry_shows_as_scheduled_at_once_after_a_sweep(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            (job,) = await e.claim(await e.worker())
            for _ in range(3):
                await e.sweep()
            await e.conn.execute(PUBLISHED_LONG_AGO)
            await e.store.complete(e.queue, [retry(job, 100.0)])
            row = await e.lag()
            return [row.ready, row.scheduled, row.due_300s]

    assert asyncio.run(scenario()) == [0, 1, 1]


def test_a_scheduled_job_that_came_due_counts_as_ready_though_nobody_sweeps(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e:
            await e.all(
                "SELECT queueworker.enqueue('mail', 'a', run_at => clock_timestamp() + '1 s')"
            )
            for _ in range(3):
                await e.sweep()
            before = await e.lag()
            await e.all(
                "SELECT pg_sleep(extract(epoch FROM run_at - clock_timestamp()) + 0.01)"
                " FROM queueworker.job"
            )
            return before.ready, (await e.lag()).ready

    assert asyncio.run(scenario()) == (0, 1)


def test_the_count_of_a_long_backlog_stays_within_2_percent_under_churn(dsn: str) -> None:
    errors = asyncio.run(churned(dsn))

    assert len(errors) == 30
    assert max(errors) < 0.02


async def churned(dsn: str) -> list[float]:
    """Give the relative errors of the count, beyond 2,000, through 30 rounds of everything."""
    chance = random.Random(7)
    errors = []
    async with engine(dsn) as e, engine(dsn) as other:
        for task in ("a", "b"):
            await bulk(e, 6000, task)
        for _ in range(30):
            for task in ("a", "b"):
                await bulk(e, chance.randrange(500, 2000), task)
            await rolled_back(other, chance.randrange(2000, 4000))
            worker = await e.worker()
            jobs = await e.claim(worker, chance.randrange(500, 2500))
            kinds = [succeed, succeed, retry, release, bury]
            ended = jobs[: len(jobs) * 2 // 3]
            await e.store.complete(e.queue, [chance.choice(kinds)(job) for job in ended])
            await e.expire(worker)
            await e.store.rescue()
            await e.sweep()
            await bulk(e, chance.randrange(100, 300))
            await e.claim(await e.worker(), 100)
            real = await e.one(
                "SELECT count(*) FROM queueworker.job WHERE token = 0"
                " AND (pos IS NOT NULL OR run_at <= clock_timestamp())"
            )
            row = await e.lag()
            assert real > 2000
            assert not row.ready_is_exact
            assert sum(row.ready_by_task.values()) == pytest.approx(row.ready, abs=3)
            errors.append(abs(row.ready - real) / real)
    return errors


def test_jobs_that_leave_the_middle_of_a_long_backlog_are_noticed(dsn: str) -> None:
    async def scenario() -> tuple[int, float]:
        async with engine(dsn) as e:
            await bulk(e, 40_000)
            for _ in range(3):
                await e.sweep()
            before = (await e.lag()).ready
            await e.conn.execute("DELETE FROM queueworker.job WHERE id % 40000 > 20000")
            for _ in range(25):  # one stretch a sweep
                await e.sweep()
            left = await e.one("SELECT count(*) FROM queueworker.job")
            return before, (await e.lag()).ready / left

    before, share = asyncio.run(scenario())

    assert before == 40_000
    assert share == pytest.approx(1, abs=0.02)


def test_a_hole_of_a_rolled_back_load_is_not_counted_among_the_waiting(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await bulk(e, 10_000)
            await rolled_back(e, 30_000)
            await bulk(e, 10_000)
            for _ in range(3):
                await e.sweep()
            counts = [(await e.lag()).ready]
            worker = await e.worker()
            for _ in range(15):
                jobs = await e.claim(worker, 1000)
                await e.store.complete(e.queue, [succeed(job) for job in jobs])
                await e.sweep()
            return [*counts, (await e.lag()).ready]

    assert asyncio.run(scenario()) == pytest.approx([20_000, 5_000], rel=0.02)


def test_what_was_rolled_back_since_a_sweep_is_not_told_of_a_long_backlog(dsn: str) -> None:
    async def scenario() -> list[tuple[int, bool]]:
        async with engine(dsn) as e:
            await bulk(e, 10_000)
            for _ in range(3):
                await e.sweep()
            await rolled_back(e, 1000)
            await bulk(e, 500)
            await e.claim(await e.worker(), 200)
            told = [await e.lag()]
            # Too many to count: they are told as drawn, until the next sweep.
            await bulk(e, 6000)
            await e.conn.execute("DELETE FROM queueworker.job WHERE token > 0")
            return [(row.ready, row.ready_is_exact) for row in [*told, await e.lag()]]

    assert asyncio.run(scenario()) == [(10_300, False), (17_300, False)]


def test_what_is_scheduled_in_a_queue_at_rest_is_told_before_its_next_sweep(dsn: str) -> None:
    later = "SELECT queueworker.enqueue(%s, 'a', run_at => clock_timestamp() + interval '1 hour')"

    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            await e.conn.execute("DELETE FROM queueworker.job")
            told = []
            for queue in ("mail", "news", "mail", "news", "mail"):
                for _ in range(4):
                    await e.sweep()
                await e.conn.execute(PUBLISHED_LONG_AGO)
                await e.all(later, queue)
                told.append((await e.lag()).scheduled)
            return told

    assert asyncio.run(scenario()) == [1, 1, 2, 2, 3]


async def rolled_back(e: Engine, count: int) -> None:
    async with e.conn.transaction(force_rollback=True):
        await bulk(e, count)


async def bulk(e: Engine, count: int, task: str = "a") -> None:
    await e.all(
        "SELECT count(*) FROM queueworker.enqueue_many('mail', %s,"
        " ARRAY(SELECT '{}'::jsonb FROM generate_series(1, %s)))",
        task,
        count,
    )


def test_a_long_backlog_keeps_its_count_through_a_move_of_its_queue(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await bulk(e, 9000)
            for _ in range(3):
                await e.sweep()
            async for _ in e.store.queue_move("mail", own=True):
                pass
            moved = await e.store.queue("mail")
            await bulk(e, 1000)
            counts = [(await e.lag()).ready]
            for _ in range(3):
                await replace(e, queue=moved).sweep()
            return [*counts, (await e.lag()).ready]

    assert asyncio.run(scenario()) == [10_000, 10_000]
