"""Rows 9 and 10: out of memory, and a job that crashes its process each time."""

import pytest
from tests.support.fault_workers import is_running, short
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench

LIMIT_BYTES = 1 << 30


def with_little_memory(command: list[str]) -> list[str]:
    return ["prlimit", f"--as={LIMIT_BYTES}", *command]


def test_row_09_a_job_that_finds_no_memory_fails_and_its_worker_goes_on(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("eat_memory")
    with short(dsn, through=with_little_memory) as worker:
        bench.until_gone(job, within_s=20)
        (after,) = bench.enqueue("quick")
        bench.until_gone(after)
        assert worker.process.poll() is None

    assert "MemoryError" in bench.one("SELECT error FROM queueworker.dead_job")


@pytest.mark.parametrize("task", ["crash", "crash_thread"])
def test_row_10_a_job_that_takes_its_worker_down_is_dead_after_the_third_crash(
    dsn: str, bench: Bench, task: str
) -> None:
    (poison,) = bench.enqueue(task, max_attempts=10)
    (neighbour,) = bench.enqueue("nap", seconds=1.0, max_attempts=1)
    crashes = 0
    while bench.state(poison) not in (None, ("dead", 3)):
        with short(dsn) as worker:
            wait_until(
                lambda: worker.process.poll() is not None or bench.state(poison) == ("dead", 3),
                within_s=15,
                what="a crash or a burial",
            )
            crashes += worker.process.poll() is not None
    with short(dsn):
        bench.until_gone(neighbour)

    assert crashes == 3
    assert bench.one("SELECT kind FROM queueworker.dead_job WHERE id = %s", poison) == "crash"
    assert bench.notes(neighbour)[-1] == "end"
    assert bench.one("SELECT count(*) FROM queueworker.dead_job") == 1


def test_row_10_a_process_job_crashes_alone_and_is_dead_after_the_third_crash(
    dsn: str, bench: Bench
) -> None:
    (poison,) = bench.enqueue("crash_process", max_attempts=1)
    neighbours = bench.enqueue("nap", count=3, seconds=1.0)
    with short(dsn) as worker:
        bench.until_gone(poison, *neighbours, within_s=30)
        (after,) = bench.enqueue("process_nap", seconds=0)
        bench.until_gone(after)
        assert worker.process.poll() is None

    assert len(bench.runs(poison)) == 3
    assert "SIGSEGV" in bench.one("SELECT error FROM queueworker.dead_job")
    assert bench.conn.execute("SELECT kind, crash_count FROM queueworker.dead_job").fetchall() == [
        ("crash", 3)
    ]
    assert bench.notes(*neighbours) == ["start"] * 3 + ["end"] * 3


def test_row_10_a_late_process_is_killed_with_what_left_its_session_and_its_parent(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("leave_daemon", seconds=60, timeout_s=3.0)
    with short(dsn):
        bench.until_noted(job)
        (note,) = bench.notes(job)
        orphan = int(note.removeprefix("start "))
        assert is_running(orphan)
        bench.until_gone(job)
        wait_until(lambda: not is_running(orphan), within_s=5, what="the orphan's end")

    assert bench.one("SELECT kind FROM queueworker.dead_job") == "timeout"


def test_row_10_what_a_process_job_started_ends_with_its_killed_worker(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("leave_daemon", seconds=60)
    with short(dsn) as worker:
        bench.until_noted(job)
        (note,) = bench.notes(job)
        orphan = int(note.removeprefix("start "))
        worker.process.kill()
        wait_until(lambda: not is_running(orphan), within_s=5, what="the orphan's end")


def test_a_child_that_has_grown_is_replaced(dsn: str, bench: Bench) -> None:
    with short(dsn, concurrency=1):
        for megabytes in (10, 300, 10):
            (job,) = bench.enqueue("grow", megabytes=megabytes)
            bench.until_gone(job)

    children = [pid for (pid,) in bench.conn.execute("SELECT worker FROM ledger ORDER BY job_id")]
    assert children[0] == children[1]
    assert children[1] != children[2]
