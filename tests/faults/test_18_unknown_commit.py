"""Row 18: the connection breaks after COMMIT was sent, and nobody knows whether it counted."""

import asyncio
import struct

import pytest
from tests.support.fault_proxy import FaultProxy, socket_of, through
from tests.support.worker_process import Bench, WorkerProcess

from queueworker import App, Job
from queueworker.errors import DatabaseUnavailable

ENQUEUE = b"queueworker.enqueue("  # goes out with its parameters, ready to run


@pytest.mark.parametrize("must_pass", [True, False], ids=["committed", "lost"])
def test_an_enqueue_by_key_whose_answer_was_lost_gives_one_row(
    dsn: str, bench: Bench, must_pass: bool
) -> None:
    job = Job(queue="mail", task="noop", args={})

    async def enqueue_until_known(app: App, proxy: FaultProxy) -> int:
        cut = proxy.cut_at(ENQUEUE, must_pass=must_pass)
        for attempt in range(5):
            try:
                job_id = await app.enqueue(job, unique_key="order 7")
            except DatabaseUnavailable:
                assert cut.is_set()
                continue
            assert (job_id is None) == must_pass  # None: the key is taken, by the first attempt
            return attempt
        raise AssertionError("never known")

    with FaultProxy(socket_of(dsn)) as proxy:

        async def run() -> int:
            async with App(through(dsn, proxy)) as app:
                return await enqueue_until_known(app, proxy)

        attempts = asyncio.run(run())

    assert attempts == 1
    assert bench.one("SELECT count(*) FROM queueworker.job WHERE unique_key = 'order 7'") == 1


@pytest.mark.parametrize("must_pass", [True, False], ids=["committed", "lost"])
def test_a_completion_whose_answer_was_lost_is_read_again_by_its_token(
    dsn: str, bench: Bench, must_pass: bool
) -> None:
    with (
        FaultProxy(socket_of(dsn)) as proxy,
        WorkerProcess(through(dsn, proxy), concurrency=20) as worker,
    ):
        worker.ready()
        ids = bench.enqueue("sleeper", count=20, seconds=0.5)
        bench.until("SELECT count(*) = 20 FROM queueworker.jobs WHERE state = 'running'")
        # Whether numbers travel in binary or as text; only completions name this one.
        cut = proxy.cut_at(struct.pack(">q", ids[7]), str(ids[7]).encode(), must_pass=must_pass)
        bench.until_gone(*ids)
        assert cut.wait(5)
        bench.until("SELECT sum(succeeded) = 20 FROM queueworker.queue_counter")
        bench.until("SELECT count(*) = 0 FROM queueworker.claim")
        assert worker.stop(10) == 0
        log = worker.log

    counted = bench.conn.execute(
        "SELECT sum(started), sum(refused), sum(failed), sum(rescued) FROM queueworker.queue_counter"
    ).fetchone()
    assert counted == (20, 0, 0, 0)
    assert "refused" not in log


def test_a_claim_whose_answer_was_lost_runs_once_and_is_not_charged(dsn: str, bench: Bench) -> None:
    ids = bench.enqueue("quick", count=5, number=4711)
    with FaultProxy(socket_of(dsn)) as proxy:
        cut = proxy.cut_answer(b"4711")
        with WorkerProcess(through(dsn, proxy)) as worker:
            bench.until_gone(*ids)
            assert cut.wait(5)
            log = worker.log

    runs = bench.conn.execute("SELECT attempt FROM ledger WHERE note LIKE 'quick%'").fetchall()
    assert runs == [(1,)] * 5
    assert "given back: their claims had no answer" in log
