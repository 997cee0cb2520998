import asyncio
from itertools import pairwise

import pytest
from tests.support.engine import Engine, engine, succeed

pytestmark = pytest.mark.postgres


def test_every_claim_is_a_hot_update(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e:
            await e.store.queue_create("mail")
            await e.enqueue(1000, args="{}")
            worker = await e.worker()
            for _ in range(20):
                await e.claim(worker, 50)
            await e.one("SELECT pg_stat_force_next_flush()")
            updates = await e.all(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'job_q1'"
            )
            return updates[0]

    updated, hot = asyncio.run(scenario())

    assert updated == 1000
    assert hot == updated


def test_a_higher_priority_is_claimed_first_and_inside_it_the_older_job(dsn: str) -> None:
    async def scenario() -> list[tuple[int, int]]:
        async with engine(dsn) as e:
            for number in range(4):
                for priority in (0, 9, 5):
                    await e.enqueue(1, priority=priority, task="ab"[number % 2])
            jobs = await e.claim(await e.worker(), 12)
            priorities = dict(await e.all("SELECT id, priority FROM queueworker.lane"))
            return [(priorities[job.lane], job.pos) for job in jobs]

    claimed = asyncio.run(scenario())

    assert claimed == sorted(claimed, key=lambda item: (-item[0], item[1]))
    assert [priority for priority, _ in claimed] == [9] * 4 + [5] * 4 + [0] * 4


def test_two_claimers_never_get_the_same_job(dsn: str) -> None:
    async def claim_all(number: int) -> list[int]:
        async with engine(dsn) as e:
            worker, ids = await e.worker(), []
            while jobs := await e.claim(worker, 1 + number):
                ids += [job.id for job in jobs]
            return ids

    async def scenario() -> list[list[int]]:
        async with engine(dsn) as e:
            await e.enqueue(400)
        return await asyncio.gather(*[claim_all(number) for number in range(4)])

    shares = asyncio.run(scenario())

    assert len({job_id for share in shares for job_id in share}) == 400
    assert sum(map(len, shares)) == 400


def test_a_claim_does_not_wait_for_another_that_has_not_committed(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e, engine(dsn) as other:
            await e.enqueue(10)
            async with e.conn.transaction():
                first = await e.claim(await e.worker(), 4)
                # The other worker registers on its own connection, outside this transaction.
                second = await asyncio.wait_for(other.claim(await other.worker(), 10), 5)
            return len(first), len(second)

    assert asyncio.run(scenario()) == (4, 6)


def test_tokens_grow_with_every_claim(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(5)
            worker = await e.worker()
            return [(await e.claim(worker))[0].token for _ in range(5)]

    tokens = asyncio.run(scenario())

    assert all(earlier < later for earlier, later in pairwise(tokens))


def test_a_worker_leaves_tasks_alone_that_it_has_not_registered(dsn: str) -> None:
    async def scenario() -> tuple[int, dict[str, int]]:
        async with engine(dsn) as e:
            await e.enqueue(3, task="unknown")
            jobs = await e.claim(await e.worker(), 10)
            return len(jobs), await e.states()

    assert asyncio.run(scenario()) == (0, {"ready": 3})


def test_a_paused_queue_gives_no_lanes_until_it_is_resumed(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(1)
            counts = []
            for change in (e.store.queue_pause, e.store.queue_resume):
                assert await change("mail")
                counts.append(len(await e.store.lanes(e.queue.id, ["a"])))
            assert not await e.store.queue_pause("nowhere")
            return counts

    assert asyncio.run(scenario()) == [0, 1]


def test_a_claimed_job_knows_how_long_it_was_ready(dsn: str) -> None:
    async def scenario() -> float:
        async with engine(dsn) as e:
            await e.enqueue(1)
            await e.conn.execute("UPDATE queueworker.job SET run_at = run_at - interval '30 s'")
            return (await e.claim(await e.worker()))[0].run_at_wait_s

    assert asyncio.run(scenario()) == pytest.approx(30, abs=5)


def test_a_claims_row_is_gone_when_its_last_job_is_settled(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(3)
            jobs = await e.claim(await e.worker(), 3)
            counts = []
            for job in jobs:
                await e.store.complete(e.queue, [succeed(job)])
                counts.append(await e.one("SELECT count(*) FROM queueworker.claim"))
            return counts

    assert asyncio.run(scenario()) == [1, 1, 0]


def test_a_queue_keeps_jobs_and_order_when_it_gets_its_own_partition(dsn: str) -> None:
    async def scenario() -> tuple[list[int], list[int], str]:
        async with engine(dsn) as e:
            ids = await e.enqueue(5)
            worker = await e.worker()
            first = await e.claim(worker, 2)
            moved = await e.store.queue_create("mail")
            # Claimed before the move: its completion finds the job in the new table.
            assert await e.store.complete(e.queue, [succeed(job) for job in first]) == set()
            rest = await e.claim(worker, 10)
            return ids, [job.id for job in [*first, *rest]], moved.part

    enqueued, claimed, part = asyncio.run(scenario())

    assert claimed == enqueued
    assert part == "job_q2"


def test_a_claim_looks_at_no_more_rows_than_it_takes_however_long_the_backlog(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e:
            await e.store.queue_create("mail")
            await e.all(
                "SELECT count(*) FROM queueworker.enqueue_many('mail', 'a',"
                " ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 20000)))"
            )
            worker = await e.worker()
            before = await counts(e)
            await e.claim(worker, 100)
            after = await counts(e)
            return after[0] - before[0], after[1] - before[1]

    async def counts(e: Engine) -> tuple[int, int]:
        await e.one("SELECT pg_stat_force_next_flush()")
        rows = await e.all(
            "SELECT idx_tup_fetch, seq_scan FROM pg_stat_user_tables WHERE relname = 'job_q1'"
        )
        return rows[0]

    fetched, sequential_scans = asyncio.run(scenario())

    assert fetched < 500
    assert sequential_scans == 0
