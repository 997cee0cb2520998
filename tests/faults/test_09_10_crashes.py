"""Rows 9 and 10: out of memory, and a job that crashes its process each time."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.fault_workers import is_running, short
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench

SLOW = pytest.mark.slow_fault
LIMIT_BYTES = 1 << 30


def with_little_memory(command: list[str]) -> list[str]:
    return ["prlimit", f"--as={LIMIT_BYTES}", *command]


def test_row_09_a_job_that_finds_no_memory_fails_and_its_worker_goes_on(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("eat_memory")
    with short(dsn, through=with_little_memory) as worker:
        bench.until_gone(job)
        (after,) = bench.enqueue("quick")
        bench.until_gone(after)
        assert worker.process.poll() is None

    assert "MemoryError" in bench.one("SELECT error FROM queueworker.dead_job")


@pytest.mark.parametrize(
    "task",
    ["crash_at_once", *(pytest.param(task, marks=SLOW) for task in ("crash", "crash_thread"))],
)
def test_row_10_a_job_that_takes_its_worker_down_is_dead_after_the_third_crash(
    dsn: str, bench: Bench, task: str
) -> None:
    (poison,) = bench.enqueue(task, max_attempts=10)
    neighbours = bench.enqueue("nap", count=2, seconds=1.0, max_attempts=1)
    all_gone = "SELECT NOT EXISTS (SELECT FROM queueworker.job)"
    crashes = 0
    while not bench.one(all_gone):
        with short(dsn) as worker:
            wait_until(
                lambda: worker.process.poll() is not None or bench.one(all_gone),
                within_s=20,
                what="a crash or the end of all",
            )
            crashes += worker.process.poll() is not None

    assert crashes == 3
    assert bench.one("SELECT kind FROM queueworker.dead_job WHERE id = %s", poison) == "crash"
    assert [bench.notes(neighbour)[-1] for neighbour in neighbours] == ["end", "end"]
    assert bench.one("SELECT count(*) FROM queueworker.dead_job") == 1


def test_row_10_a_process_job_crashes_alone_and_is_dead_after_the_third_crash(
    dsn: str, bench: Bench
) -> None:
    (poison,) = bench.enqueue("crash_process", max_attempts=1)
    neighbours = bench.enqueue("nap", count=3, seconds=1.0)
    with short(dsn) as worker:
        bench.until_gone(poison, *neighbours)
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
        wait_until(lambda: not is_running(orphan), within_s=20, what="the orphan's end")

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
        wait_until(lambda: not is_running(orphan), within_s=20, what="the orphan's end")


@pytest.mark.system
def test_row_10_a_worker_that_is_pid_1_reaps_the_orphans_that_it_killed(
    dsn: str, bench: Bench
) -> None:
    with short(dsn, concurrency=1, through=as_pid_1) as worker:
        for _ in range(3):
            (job,) = bench.enqueue("leave_daemon", seconds=60, timeout_s=3.0)
            bench.until_gone(job)
        (first,) = [pid for pid, parent, _ in processes() if parent == worker.process.pid]
        zombies = [pid for pid, parent, state in processes() if parent == first and state == "Z"]

    assert bench.one("SELECT count(*) FROM queueworker.dead_job WHERE kind = 'timeout'") == 3
    assert len(zombies) <= 2  # the last child and its orphan; they go with the next


def as_pid_1(command: list[str]) -> list[str]:
    return ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *command]


def processes() -> Iterator[tuple[int, int, str]]:
    """Give (pid, parent, state) of all processes."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            yield int(path.parent.name), int(fields[1]), fields[0]


def test_a_child_that_has_grown_is_replaced(dsn: str, bench: Bench) -> None:
    with short(dsn, concurrency=1):
        for megabytes in (10, 300, 10):
            (job,) = bench.enqueue("grow", megabytes=megabytes)
            bench.until_gone(job)

    children = [pid for (pid,) in bench.conn.execute("SELECT worker FROM ledger ORDER BY job_id")]
    assert children[0] == children[1]
    assert children[1] != children[2]
