"""Row 13: a handler forks and returns in both processes; only the worker's own return counts."""

import os

import pytest
from tests.support.fault_workers import is_running, refused, short
from tests.support.worker_process import Bench


@pytest.mark.parametrize("task", ["fork_async", "fork_thread", "fork_process", "fork_and_fail"])
def test_row_13_a_copy_of_the_worker_ends_with_its_handler_and_acknowledges_nothing(
    dsn: str, bench: Bench, task: str
) -> None:
    others = bench.enqueue("nap", count=3, seconds=1.0)
    (job,) = bench.enqueue(task)
    with short(dsn) as worker:
        bench.until_gone(job, *others)
        (after,) = bench.enqueue("quick")
        bench.until_gone(after)
        copy = int(bench.notes(job)[0].removeprefix("start "))
        assert not is_running(copy)
        assert copy != os.getpid()
        bench.until("SELECT sum(started) = 5 FROM queueworker.queue_counter")
        assert worker.stop() == 0

    ends = int(bench.one("SELECT sum(succeeded + dead) FROM queueworker.queue_counter"))
    assert ends == 5
    assert refused(bench) == 0
    assert bench.notes(job)[1:] == ["end"]
    assert bench.notes(*others).count("end") == 3
