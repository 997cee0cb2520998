"""A queue is made once and dropped when nothing is lost."""

import asyncio

import pytest
from tests.support.postgres import Connection
from tests.support.worker_process import Bench, WorkerProcess, run_command

from queueworker.connection import connect
from queueworker.dsn import Dsn
from queueworker.store import Store

pytestmark = pytest.mark.postgres


def test_a_queue_is_dropped_only_when_nothing_is_lost_unless_asked(
    dsn: str, conn: Connection
) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'a')")
    refused = run_command(dsn, "queue", "drop", "mail")
    assert refused.returncode == 1
    assert refused.stderr == (
        "queueworker: queue mail has 1 job; add --purge to delete them for good\n"
    )
    assert run_command(dsn, "queue", "drop", "nothing").returncode == 1

    assert run_command(dsn, "queue", "create", "mail").returncode == 0
    asked = run_command(dsn, "queue", "drop", "mail", "--purge")
    assert asked.returncode == 1
    assert "would delete queue mail with 1 job for good; add --yes" in asked.stderr
    assert conn.execute("SELECT count(*) FROM queueworker.job").fetchone() == (1,)
    purged = run_command(dsn, "queue", "drop", "mail", "--purge", "--yes")
    assert (purged.returncode, purged.stderr) == (0, "")
    assert purged.stdout == "queue mail is removed, and 1 job\n"
    left = conn.execute(
        "SELECT relname FROM pg_class WHERE relname ~ '(_q[0-9]+$)' AND relkind IN ('r', 'S')"
    ).fetchall()
    assert left == []
    assert conn.execute("SELECT count(*) FROM queueworker.lane").fetchone() == (0,)


async def dropped(dsn: str, queue: str) -> bool:
    """Drop a queue as a command does whose count was made before a worker came."""
    conn = await connect(Dsn.parse(dsn), application_name="test")
    async with conn:
        return await Store(conn).queue_drop(queue, purge=True)


def test_cached_workers_and_producers_cope_with_a_dropped_queue(dsn: str) -> None:
    with Bench(dsn) as bench, WorkerProcess(dsn, concurrency=2) as worker:
        worker.ready()
        (running,) = bench.enqueue("nap", seconds=3)
        bench.until_noted(running)
        bench.enqueue("nap", count=20, seconds=1)
        run_command(dsn, "queue", "create", "mail")
        refused = run_command(dsn, "queue", "drop", "mail", "--purge", "--yes")
        assert "queue mail has 1 live worker and " in refused.stderr
        assert "jobs; stop the workers, and add --purge" in refused.stderr
        assert asyncio.run(dropped(dsn, "mail"))
        (after,) = bench.enqueue("quick")
        bench.until_noted(after, "quick")
        bench.until_gone(after)


def test_creating_twice_is_the_same_as_once(dsn: str) -> None:
    first, second = (run_command(dsn, "queue", "create", "mail") for _ in range(2))
    assert first.stdout == second.stdout == "queue mail has the partition job_q1\n"
    listed = run_command(dsn, "queue", "list", "--json")
    assert '"partition": "job_q1"' in listed.stdout
