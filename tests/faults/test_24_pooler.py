"""Row 24: PgBouncer in transaction mode."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from psycopg import sql
from tests.support.engine import engine, succeed
from tests.support.pgbouncer import running_pgbouncer
from tests.support.worker_process import Bench, WorkerProcess, run_command

from queueworker import App, Job
from queueworker.store import WorkerConnection

pytestmark = pytest.mark.system
SHOW = sql.SQL(
    "SELECT current_setting('enable_seqscan'), current_setting('enable_sort'),"
    " current_setting('statement_timeout'), current_setting('lock_timeout')"
)


@pytest.fixture
def pooled_dsn(dsn: str) -> Iterator[str]:
    with running_pgbouncer(dsn) as address:
        yield address


def test_workers_of_a_pooler_run_every_job_once_by_polling(pooled_dsn: str, bench: Bench) -> None:
    with WorkerProcess(pooled_dsn) as one, WorkerProcess(pooled_dsn) as two:
        one.ready(), two.ready()
        ids = bench.enqueue("quick", count=200)
        ids += bench.enqueue("again", count=20, max_attempts=2)
        bench.until_gone(*ids)
        said = one.log + two.log
        listening = one.probe("/metrics")[1]
        assert one.stop() == 0
        assert two.stop() == 0

    assert bench.one("SELECT count(*) FROM ledger WHERE note LIKE 'quick%%'") == 200
    assert bench.one("SELECT count(*) FROM ledger WHERE note = 'start'") == 40
    assert bench.one("SELECT count(*) FROM queueworker.worker") == 0
    assert said.count("a pooler stands before the database") == 2
    assert "trying again" not in said
    assert "queueworker_listening 0.0" in listening


def test_a_direct_address_for_listen_brings_the_wake_ups_back(
    dsn: str, pooled_dsn: str, bench: Bench
) -> None:
    settings = {"QUEUEWORKER_LISTEN_DSN": dsn, "QUEUEWORKER_POLL_S": "30"}
    with WorkerProcess(pooled_dsn, environ=settings) as worker:
        worker.ready()
        bench.until("SELECT idle FROM queueworker.queue WHERE name = 'mail'")
        (job,) = bench.enqueue("quick")
        took_s = bench.until_noted(job, "quick")
        assert "queueworker_listening 1.0" in worker.probe("/metrics")[1]

    assert took_s < 2


def test_every_statement_brings_its_settings_and_leaves_none_behind(pooled_dsn: str) -> None:
    async def run() -> tuple[object, ...]:
        async with engine(pooled_dsn) as e:
            assert isinstance(e.conn, WorkerConnection)
            assert e.conn.is_pooled
            inside = (await e.store.fetch(SHOW, {}))[0]
            outside = {
                (await (await e.conn.execute(SHOW)).fetchone() or ())  # any session of the pool
                for _ in range(10)
            }
            return inside, outside

    inside, outside = asyncio.run(run())

    assert inside == ("off", "off", "30s", "2s")
    assert outside == {("on", "on", "0", "0")}


def test_no_statement_is_prepared_behind_a_pooler(dsn: str, pooled_dsn: str) -> None:
    async def run(address: str) -> int:
        async with engine(address) as e:
            worker_id = await e.worker()
            await e.enqueue(10)
            for _ in range(10):
                (job,) = await e.claim(worker_id)
                assert await e.store.complete(e.queue, [succeed(job)]) == set()
            if address == pooled_dsn:
                return sum([await e.one(COUNT) for _ in range(6)])
            return int(await e.one(COUNT))

    COUNT = "SELECT count(*) FROM pg_prepared_statements"  # noqa: N806

    assert asyncio.run(run(pooled_dsn)) == 0
    assert asyncio.run(run(dsn)) > 0


def test_a_failed_statement_leaves_no_transaction_to_the_next_client(pooled_dsn: str) -> None:
    async def run() -> list[str]:
        async with engine(pooled_dsn) as e:
            with pytest.raises(Exception, match="22012"):
                await e.store.fetch(sql.SQL("SELECT 1 / %(zero)s::int"), {"zero": 0})
            return [await e.one("SELECT 'good'") for _ in range(10)]

    assert asyncio.run(run()) == ["good"] * 10


def test_statements_of_one_transaction_stay_in_it(pooled_dsn: str) -> None:
    async def run() -> tuple[int, object]:
        async with engine(pooled_dsn) as e:
            with suppress(ZeroDivisionError):
                async with e.conn.transaction():
                    await e.store.queue("undone")
                    shown = (await e.store.fetch(SHOW, {}))[0]
                    raise ZeroDivisionError
            return await e.one(
                "SELECT count(*) FROM queueworker.queue WHERE name = 'undone'"
            ), shown

    assert asyncio.run(run()) == (0, ("off", "off", "30s", "2s"))


def test_producers_and_commands_work_through_a_pooler(pooled_dsn: str, bench: Bench) -> None:
    app = App(pooled_dsn)

    async def produce() -> None:
        async with app:
            for number in range(20):
                await app.enqueue(Job(queue="mail", task="noop", args={}, priority=number % 3))
            await app.enqueue_many([Job(queue="mail", task="noop", args={})] * 20)

    asyncio.run(produce())
    for _ in range(20):
        app.enqueue_sync(Job(queue="mail", task="noop", args={}))
    app.close_sync()
    listed = run_command(pooled_dsn, "queue", "list")
    migrated = run_command(pooled_dsn, "migrate")

    assert bench.one("SELECT count(*) FROM queueworker.job") == 60
    assert listed.returncode == 0, listed.stderr
    assert "60" in listed.stdout
    assert migrated.returncode == 0, migrated.stderr


def test_a_restarted_pooler_is_found_again(dsn: str, bench: Bench) -> None:
    with running_pgbouncer(dsn) as address:
        worker = WorkerProcess(address).ready()
        (before,) = bench.enqueue("quick")
        bench.until_gone(before)
        port = int(address.split("port=")[1].split()[0])
    with worker:
        (after,) = bench.enqueue("quick")
        with running_pgbouncer(dsn, port=port):
            bench.until_gone(after, within_s=10)


def test_the_servers_process_is_what_tells_a_pooler_from_the_server(
    dsn: str, pooled_dsn: str
) -> None:
    with psycopg.connect(dsn) as direct, psycopg.connect(pooled_dsn) as pooled:
        pids = [
            (conn.info.backend_pid, (conn.execute("SELECT pg_backend_pid()").fetchone() or [0])[0])
            for conn in (direct, pooled)
        ]

    assert pids[0][0] == pids[0][1]
    assert pids[1][0] != pids[1][1]


def test_a_copy_and_a_replacement_pass_through_a_pooler(pooled_dsn: str, bench: Bench) -> None:
    app = App(pooled_dsn)
    batch = [Job(queue="mail", task="noop", args={"n": n}) for n in range(6_000)]
    keyed = Job(queue="mail", task="noop", args={}, unique_key="k", on_duplicate="replace")

    async def produce() -> list[int | None]:
        async with app:
            ids = await app.enqueue_many(batch)
            kept = [await app.enqueue(keyed.using(priority=n)) for n in range(9)]
            mixed = await app.enqueue_many([batch[0], keyed, batch[1].using(task="again")])
            assert set(kept) == {mixed[1]}
            return ids

    ids = asyncio.run(produce())
    more = app.enqueue_many_sync(batch)
    app.close_sync()

    assert len(set(ids) | set(more)) == 12_000
    assert bench.one("SELECT count(*) FROM queueworker.job") == 12_003
