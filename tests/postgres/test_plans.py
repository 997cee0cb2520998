"""Every hot statement walks an index, sorts no backlog, and costs the same beside any backlog.

QUEUEWORKER_TEST_ROWS=10000000 adds the full size: 10 million ready rows, 10 million scheduled ones and
10 million of another queue in the same table (9 GB, some minutes; kept nowhere).
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql
from tests.support import postgres
from tests.support.backlog import Backlog, fill, grow, schedule
from tests.support.engine import bury, engine, release, retry, succeed
from tests.support.rehearsal import Plan, Plans, Rehearsal

from queueworker.store import ClaimRequest

LARGEST = os.environ.get("QUEUEWORKER_TEST_ROWS")
pytestmark = [pytest.mark.postgres, pytest.mark.timeout(1800 if LARGEST else 120)]

SIZES = (1_000, 100_000, 1_000_000)
BATCH = 100
QUEUE = "mail"
CALLS = ("claim", "succeed", "mixed", "enqueue", "promote", "lag")
# An index of a million rows is a level or two deeper than one of a thousand, for each row by key.
DEEPER = 1.2
LEVELS = 24

Costs = dict[str, dict[int, Sequence[Plan]]]


@pytest.fixture(scope="module")
def costs(server: str, template: str) -> Iterator[Costs]:
    """Run every call once at each size; give the plans by call and size."""
    sizes = (*SIZES, int(LARGEST)) if LARGEST else SIZES
    found: Costs = {name: {} for name in (*CALLS, "sweep")}
    with postgres.fresh_database(server, template) as dsn:
        with psycopg.connect(dsn, autocommit=True) as conn:
            fill(conn, Backlog(ready=0, scheduled=0, others=0), QUEUE)
            before = 0
            for size in sizes:
                grow(conn, QUEUE, size - before)
                schedule(conn, QUEUE, size - before)
                grow(conn, f"{QUEUE}-neighbour", size - before)
                schedule(conn, QUEUE, 10, after_s=-1_000_000.0)
                conn.execute("VACUUM ANALYZE queueworker.job")
                asyncio.run(_run(dsn, size, found))
                before = size
        yield found


async def _run(dsn: str, size: int, found: Costs) -> None:
    async with engine(dsn, QUEUE) as plain:
        store = Rehearsal(plain.conn)
        e = replace(plain, store=store)
        worker = await plain.worker()
        for _ in range(3):
            await plain.sweep()

        def take(name: str) -> None:
            found[name][size], store.plans = store.plans.seen, Plans()

        store.plans = Plans()
        queue = await plain.store.queue(QUEUE)
        lanes = await plain.store.lanes(queue.id, ["a"])
        request = ClaimRequest(
            queue=queue,
            worker_id=worker,
            limit=BATCH,
            lanes=lanes,
            hints=[row.floor for row in lanes],
        )
        jobs = await store.claim(request)
        assert len(jobs) == BATCH
        take("claim")
        await store.complete(queue, [succeed(job) for job in jobs[:70]])
        take("succeed")
        kinds = [retry, release, bury]
        await store.complete(queue, [kinds[i % 3](job) for i, job in enumerate(jobs[70:])])
        take("mixed")
        await store.fetch(sql.SQL("SELECT queueworker.enqueue('mail', 'a')"), {})
        take("enqueue")
        await store.promote_more(queue.id)
        take("promote")
        await store.lag([QUEUE])
        take("lag")
        await e.sweep()
        take("sweep")


@pytest.mark.parametrize("name", [*CALLS, "sweep"])
def test_a_call_reads_no_job_table_from_end_to_end(costs: Costs, name: str) -> None:
    for plans in costs[name].values():
        assert plans
        assert [plan.job_scans for plan in plans] == [0] * len(plans)
        assert not [table for plan in plans for table in plan.scanned() if table.startswith("job")]


@pytest.mark.parametrize("name", [*CALLS, "sweep"])
def test_a_call_sorts_no_more_than_its_batch(costs: Costs, name: str) -> None:
    for plans in costs[name].values():
        assert max(plan.most_sorted() for plan in plans) <= BATCH


@pytest.mark.parametrize("name", CALLS)
def test_a_call_costs_the_same_buffers_beside_any_backlog(costs: Costs, name: str) -> None:
    buffers = {size: sum(plan.buffers for plan in plans) for size, plans in costs[name].items()}
    least = min(SIZES) if name != "lag" else SIZES[1]  # a short backlog is counted one by one

    assert buffers[least] > 0
    for size, count in buffers.items():
        if size > least:
            assert count <= DEEPER * buffers[least] + LEVELS, buffers


def test_a_sweep_reads_a_bounded_part_of_any_backlog(costs: Costs) -> None:
    buffers = {size: sum(plan.buffers for plan in plans) for size, plans in costs["sweep"].items()}

    # It catches up with 20,000 jobs at most, some 60 of which share a page, and checks 10,000 again.
    assert max(buffers.values()) <= 4000, buffers


def test_a_claim_walks_the_lane_by_its_index(costs: Costs) -> None:
    for plans in costs["claim"].values():
        assert "job_default_lane_id_pos_idx" in set().union(*(plan.indexes() for plan in plans))


@pytest.mark.parametrize("name", ["succeed", "mixed"])
def test_a_completion_finds_its_jobs_by_their_keys(costs: Costs, name: str) -> None:
    for plans in costs[name].values():
        assert "job_default_pkey" in set().union(*(plan.indexes() for plan in plans))
