"""A running job is stopped, its slot is free, and what comes of it is refused."""

import statistics
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.worker_process import Bench, WorkerProcess

pytestmark = pytest.mark.postgres


def gone(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    return True


@pytest.mark.parametrize("task", ["nap", "process_nap"])
def test_a_running_job_is_stopped_and_never_tried_again(dsn: str, task: str) -> None:
    with Bench(dsn) as bench, WorkerProcess(dsn, concurrency=1) as worker:
        (job_id,) = bench.enqueue(task, seconds=60, max_attempts=5)
        bench.until_noted(job_id)
        (next_,) = bench.enqueue("quick")
        assert bench.one("SELECT queueworker.cancel(%s)", job_id) == "running"
        # Its slot is free long before the job would end.
        bench.until_gone(next_, within_s=10)
        (note,) = bench.notes(job_id)
        if task == "process_nap":
            pid = int(note.split()[1])
            assert gone(pid)
        assert f"job {job_id} is cancelled" in worker.log
        bench.until("SELECT queueworker.cancelled_total('mail') = 1")
        assert bench.one("SELECT count(*) FROM queueworker.failure") == 0
        assert "others run these jobs" not in worker.log


def test_the_slot_of_a_cancelled_job_is_free_within_a_tenth_of_a_second(dsn: str) -> None:
    delays: list[float] = []
    with Bench(dsn) as bench, WorkerProcess(dsn, concurrency=1):
        for _ in range(11):
            (job_id,) = bench.enqueue("nap", seconds=60)
            bench.until_noted(job_id)
            (next_,) = bench.enqueue("quick")
            asked_at = bench.one(
                "SELECT clock_timestamp() FROM (SELECT queueworker.cancel(%s)) AS c", job_id
            )
            bench.until_noted(next_, "quick")
            started = "SELECT extract(epoch FROM started_at - %s) FROM ledger WHERE job_id = %s"
            delays.append(float(bench.one(started, asked_at, next_)))
            bench.until_gone(next_)

    assert statistics.median(delays) < 0.1, delays


def test_a_thread_learns_of_its_cancellation_and_its_result_is_refused(dsn: str) -> None:
    with Bench(dsn) as bench, WorkerProcess(dsn, concurrency=2):
        (job_id,) = bench.enqueue("yielding", seconds=30)
        bench.until_noted(job_id)
        assert bench.one("SELECT queueworker.cancel(%s)", job_id) == "running"
        bench.until_noted(job_id, "yielded", within_s=15)
        (next_,) = bench.enqueue("quick")
        bench.until_gone(next_)
        assert bench.state(job_id) is None


def test_a_job_that_waits_in_a_worker_never_starts(dsn: str) -> None:
    with Bench(dsn) as bench, WorkerProcess(dsn, concurrency=1) as worker:
        worker.ready()
        # Short jobs first, so that the worker claims ahead.
        bench.until_gone(*bench.enqueue("noop", count=200))
        jobs = bench.enqueue("nap", count=30, seconds=0.3)
        bench.until_noted(jobs[0])
        for job_id in jobs[1:]:
            bench.one("SELECT queueworker.cancel(%s)", job_id)
        bench.until_gone(*jobs)
        (last,) = bench.enqueue("quick")
        bench.until_gone(last)
        assert bench.notes(*jobs) == ["start", "end"]


def test_a_worker_without_listen_stops_a_job_at_its_next_look(dsn: str) -> None:
    with Bench(dsn) as bench, WorkerProcess(dsn, concurrency=1):
        (job_id,) = bench.enqueue("nap", seconds=60)
        bench.until_noted(job_id)
        # As it arrives where no notification does: by the table alone.
        with bench.conn.transaction():
            bench.conn.execute(
                "INSERT INTO queueworker.cancelled_run (job_id, token, worker_id)"
                " SELECT j.id, j.token, c.worker_id FROM queueworker.job AS j"
                " JOIN queueworker.claim AS c USING (token)"
            )
            bench.conn.execute("DELETE FROM queueworker.job")
        (next_,) = bench.enqueue("quick")
        bench.until_gone(next_, within_s=5)
        bench.until("SELECT NOT EXISTS (SELECT FROM queueworker.cancelled_run)", within_s=5)
