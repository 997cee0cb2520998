"""The lease, and what happens to claims when its worker or its connection is gone."""

import asyncio
import signal
from uuid import UUID

from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

from queueworker.dsn import Dsn
from queueworker.link import Link
from queueworker.rescue import LostAnswers
from queueworker.store import ClaimRequest, OpenClaims, Store, WorkerRow


def test_a_worker_with_the_least_rights_does_all_its_work(dsn: str, bench: Bench) -> None:
    name = "least_of_the_workers"
    bench.conn.execute(f"DROP ROLE IF EXISTS {name}")
    bench.conn.execute(f"CREATE ROLE {name} LOGIN IN ROLE queueworker_worker")
    bench.conn.execute(f"GRANT SELECT, INSERT ON ledger TO {name}")
    jobs = [*bench.enqueue("quick", count=20), *bench.enqueue("again", max_attempts=2)]
    jobs += [*bench.enqueue("fail"), *bench.enqueue("effect", note="x")]
    try:
        with WorkerProcess(
            dsn, environ={"QUEUEWORKER_DSN": dsn.replace("postgres ", f"{name} ", 1)}
        ) as worker:
            worker.ready()
            bench.until_gone(*jobs)
            bench.conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,)
            )
            (after,) = bench.enqueue("quick")
            bench.until_gone(after)
            assert worker.stop() == 0
            assert "right" not in worker.log
        assert bench.one("SELECT count(*) FROM queueworker.dead_job") == 1
    finally:
        bench.conn.execute(f"REVOKE ALL ON ledger FROM {name}")
        bench.conn.execute(f"DROP ROLE {name}")


def test_a_lost_connection_is_not_a_lost_lease(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("nap", seconds=2)
    with WorkerProcess(dsn) as worker:
        _, worker_id = worker.identity(1)
        bench.until_noted(job)
        renewed_at = bench.one("SELECT renewed_at FROM queueworker.worker")
        bench.conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'queueworker lease' AND datname = current_database()"
        )
        bench.until("SELECT renewed_at > %s FROM queueworker.worker", renewed_at)
        bench.until_gone(job)
        assert str(bench.one("SELECT id FROM queueworker.worker")) == worker_id

    assert len(bench.runs(job)) == 1


def test_a_worker_whose_row_is_gone_starts_anew_under_another_id(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        _, first = worker.identity(1)
        bench.end_leases()
        _, second = worker.identity(2)
        (job,) = bench.enqueue("quick")
        bench.until_gone(job)
        assert "lease_lost_total 1" in worker.probe("/metrics")[1]

    assert first != second


def test_a_claim_whose_answer_was_lost_is_given_back_uncharged(dsn: str, bench: Bench) -> None:
    ids = bench.enqueue("nap", count=3, seconds=1)
    worker = WorkerRow(
        id=UUID("00000000-0000-0000-0000-000000000001"),
        pod="one",
        namespace="",
        node="",
        version="0",
        queues=("mail",),
        tasks=("nap",),
        slots=1,
        ttl_s=60,
    )

    async def claim_and_forget(store: Store) -> None:
        await store.register(worker)
        queue = await store.queue("mail")
        lanes = await store.lanes(queue.id, ["nap"])
        request = ClaimRequest(
            queue=queue, worker_id=worker.id, limit=3, lanes=lanes, hints=[0] * len(lanes)
        )
        assert len(await store.claim(request)) == 3

    async def story() -> None:
        first = Link(Dsn.parse(dsn), "first", OpenClaims())
        await first.call(claim_and_forget)
        await first.close()
        assert bench.state(ids[0]) == ("running", 1)
        link = Link(Dsn.parse(dsn), "second", OpenClaims())
        await link.connection()
        answers = LostAnswers(link)
        await answers.check(worker.id)
        await answers.check(worker.id)
        await link.close()

    asyncio.run(story())

    assert [bench.state(job) for job in ids] == [("ready", 0)] * 3
    assert bench.one("SELECT count(*) FROM queueworker.claim") == 0


def test_a_lease_that_ended_while_the_worker_stood_still_is_noticed_by_itself(
    dsn: str, bench: Bench
) -> None:
    with WorkerProcess(dsn, environ={"QUEUEWORKER_LEASE_TTL_S": "1"}) as worker:
        worker.ready()
        worker.signal(signal.SIGSTOP)
        bench.until("SELECT expires_at < clock_timestamp() FROM queueworker.worker")
        worker.signal(signal.SIGCONT)
        wait_until(lambda: "lease lost" in worker.log, what="the loss")
        worker.identity(2)
