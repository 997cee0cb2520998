"""Row 5: a shell that is PID 1 keeps SIGTERM to itself; the worker says so."""

import shlex

import pytest
from tests.support.fault_workers import short
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench

from queueworker.worker.shell import shell_between

CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def by_shell(command: list[str]) -> list[str]:
    """Start the worker below a shell that is PID 1, as `sh -c` in an image does."""
    return [*CONTAINER, "sh", "-c", f"{shlex.join(command)}; true"]


def by_exec(command: list[str]) -> list[str]:
    return [*CONTAINER, *command]


def test_row_05_a_worker_below_a_shell_warns_and_names_the_remedy(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("quick")
    with short(dsn, through=by_shell) as worker:
        wait_until(lambda: "exec form" in worker.log, what="the warning")
        bench.until_gone(job)

    assert "PID 1 is `sh`" in worker.log


def test_row_05_a_worker_that_is_pid_1_does_not_warn(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("quick")
    with short(dsn, through=by_exec) as worker:
        worker.ready()
        bench.until_gone(job)

    assert "exec form" not in worker.log


@pytest.mark.parametrize(
    ("own", "parent", "first"), [(1, 0, "python"), (7, 1, "tini"), (70, 7, "sh"), (9, 1, "systemd")]
)
def test_row_05_an_init_or_a_terminal_is_no_reason_to_warn(
    own: int, parent: int, first: str
) -> None:
    assert shell_between(own, parent, first) is None
