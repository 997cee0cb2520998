"""Row 11: exceptions of every kind, from every executor: the attempt fails, the worker lives."""

import pytest
from tests.support.fault_tasks import EXCEPTIONS, LATIN
from tests.support.fault_workers import short
from tests.support.worker_process import Bench

KINDS = [*EXCEPTIONS, "RecursionError", "MemoryError", "Huge"]
LONG = 4000


@pytest.mark.parametrize("executor", ["async", "thread", "process"])
def test_row_11_every_exception_fails_its_attempt_and_nothing_else(
    dsn: str, bench: Bench, executor: str
) -> None:
    jobs = {kind: bench.enqueue(f"throw_{executor}", kind=kind)[0] for kind in KINDS}
    with short(dsn, concurrency=2) as worker:
        bench.until_gone(*jobs.values())
        (after,) = bench.enqueue("quick")
        bench.until_gone(after)
        assert worker.process.poll() is None
        assert worker.stop() == 0
        assert "Logging error" not in worker.log

    errors = dict(bench.conn.execute("SELECT id, error FROM queueworker.dead_job").fetchall())
    assert set(errors) == set(jobs.values())
    assert all(0 < len(error) <= LONG for error in errors.values())
    assert LATIN in errors[jobs["NonAscii"]]
    assert "cannot be shown" in errors[jobs["Unprintable"]]
    for kind in ("KeyboardInterrupt", "SystemExit", "GeneratorExit", "RecursionError"):
        assert kind in errors[jobs[kind]]
    assert bench.one("SELECT count(*) FROM queueworker.claim") == 0
