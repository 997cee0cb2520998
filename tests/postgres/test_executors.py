"""Handlers run in the loop, in threads or in processes, and are stopped at their deadline."""

import os
import signal
import time
from contextlib import suppress

import pytest
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess


@pytest.mark.parametrize("task", ["nap", "thread_nap", "process_nap"])
def test_a_job_past_its_timeout_is_dead_and_its_result_is_refused(
    dsn: str, bench: Bench, task: str
) -> None:
    (job,) = bench.enqueue(task, seconds=8.0, timeout_s=1.0)
    with WorkerProcess(dsn):
        bench.until_noted(job)
        bench.until("SELECT count(*) = 1 FROM queueworker.dead_job")
        assert "end" not in bench.notes(job)  # at its deadline, not when it ends by itself
        if task == "thread_nap":
            bench.until_noted(job, "end")  # the thread goes on; nothing else can stop it

    assert bench.one("SELECT kind || ' ' || error FROM queueworker.dead_job") == (
        "timeout timed out after 1 s"
    )
    assert bench.one("SELECT sum(succeeded) FROM queueworker.queue_counter") == 0


def test_a_job_from_sql_gets_the_timeout_of_its_task(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("limited_nap", seconds=30, max_attempts=1)
    with WorkerProcess(dsn):
        bench.until_gone(job)

    assert bench.one("SELECT kind FROM queueworker.dead_job") == "timeout"


def test_a_late_process_is_killed_with_all_that_it_started(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("process_nap", seconds=60, timeout_s=1.0)
    with WorkerProcess(dsn):
        bench.until_noted(job)
        (note,) = bench.notes(job)
        grandchild = int(note.removeprefix("start "))
        bench.until_gone(job)
        wait_until(lambda: not is_running(grandchild), what="the grandchild's end")


def test_children_end_with_their_killed_worker(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("process_nap", seconds=300)
    with WorkerProcess(dsn) as worker:
        bench.until_noted(job)
        child = int(bench.conn.execute("SELECT worker FROM ledger").fetchall()[0][0])
        assert child != worker.process.pid
        worker.process.kill()
        wait_until(lambda: not is_running(child), what="the child's end")


def test_a_stopped_child_ends_with_its_killed_worker(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("process_nap", seconds=300)
    with WorkerProcess(dsn) as worker:
        bench.until_noted(job)
        child = int(bench.conn.execute("SELECT worker FROM ledger").fetchall()[0][0])
        grandchild = int(bench.notes(job)[0].removeprefix("start "))
        os.kill(child, signal.SIGSTOP)  # as the worker does right before it kills one
        worker.process.kill()
        try:
            wait_until(lambda: not is_running(child), what="the child's end")
            wait_until(lambda: not is_running(grandchild), what="the grandchild's end")
        finally:
            for pid in (child, grandchild):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [(3, "wrote what is no answer"), (9 << 20, "of which the worker reads 8,388,608 at most")],
    ids=["no answer", "more than is read"],
)
def test_a_handler_that_writes_into_its_childs_channel_has_failed_and_not_crashed(
    dsn: str, bench: Bench, size_bytes: int, words: str
) -> None:
    (job,) = bench.enqueue("answer_itself", size_bytes=size_bytes)
    with WorkerProcess(dsn, concurrency=1):
        bench.until_gone(job)
        (after,) = bench.enqueue("segfault")
        bench.until_gone(after)

    # The one after got no answer that was left in the channel.
    kinds = dict(bench.conn.execute("SELECT id, kind FROM queueworker.dead_job").fetchall())
    assert kinds == {job: "error", after: "crash"}
    error = bench.one("SELECT error FROM queueworker.dead_job WHERE id = %s", job)
    assert words in error
    assert "leave file descriptors alone that it did not open" in error


def test_a_child_that_dies_fails_its_job_and_nothing_else(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("segfault")
    with WorkerProcess(dsn) as worker:
        bench.until_gone(job)
        (after,) = bench.enqueue("process_nap", seconds=0)
        bench.until_gone(after)
        assert worker.process.poll() is None

    assert "SIGSEGV" in bench.one("SELECT error FROM queueworker.dead_job")
    assert bench.crash_count(job) in (-1, 0)


def test_threads_run_side_by_side(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn, concurrency=4) as worker:
        worker.ready()
        began_s = time.monotonic()
        ids = bench.enqueue("thread_nap", count=4, seconds=3.0)
        bench.until_gone(*ids)
        took_s = time.monotonic() - began_s

    assert took_s < 9.0  # one after another they take 12 s


def test_a_worker_full_of_hanging_threads_says_that_it_is_not_alive(dsn: str, bench: Bench) -> None:
    ids = bench.enqueue("thread_nap", count=2, seconds=6, timeout_s=0.3)
    with WorkerProcess(dsn, concurrency=2) as worker:
        worker.ready()
        bench.until_gone(*ids)
        wait_until(lambda: worker.probe("/livez")[0] == 503, within_s=2, what="not live")
        assert "threads" in worker.probe("/livez")[1]
        (after,) = bench.enqueue("quick")
        bench.until_noted(after, "quick", within_s=10)  # a thread that comes back frees its slot
        assert worker.probe("/livez")[0] == 200


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123 - a proc file
        return stat.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("task", "what"),
    [
        ("forget_async", "coroutine"),
        ("forget_await", "coroutine"),
        ("forget_async_in_child", "coroutine"),
        ("give_generator", "generator"),
    ],
)
def test_a_handler_that_returns_work_which_nobody_runs_has_failed(
    dsn: str, bench: Bench, task: str, what: str
) -> None:
    (job,) = bench.enqueue(task)
    with WorkerProcess(dsn) as worker:
        bench.until_gone(job)
        assert worker.stop(10) == 0

    error = bench.one("SELECT error FROM queueworker.dead_job WHERE id = %s", job)
    assert error.startswith(f"the handler returned a {what} that nobody runs")
    assert "never awaited" not in worker.log
