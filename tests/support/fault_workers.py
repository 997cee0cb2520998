"""Workers of the tasks that misbehave, with leases short enough for a test."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tests.support.fault_tasks import APP
from tests.support.worker_process import Bench, WorkerProcess

SHORT_TTL_S = 2.0


def short(
    dsn: str,
    *arguments: str,
    concurrency: int = 4,
    through: Callable[[list[str]], list[str]] = list,
    environ: Mapping[str, str] | None = None,
) -> WorkerProcess:
    """Start a worker whose lease is short."""
    settings = {"QUEUEWORKER_LEASE_TTL_S": str(SHORT_TTL_S), **(environ or {})}
    return WorkerProcess(
        dsn, "--app", APP, *arguments, concurrency=concurrency, through=through, environ=settings
    )


@contextmanager
def two_ready(dsn: str) -> Iterator[tuple[WorkerProcess, WorkerProcess]]:
    """Start two, and wait until both are ready: no start races with the end of a job."""
    with short(dsn) as one, short(dsn) as two:
        one.ready()
        two.ready()
        yield one, two


def runner(
    bench: Bench, job_id: int, one: WorkerProcess, two: WorkerProcess
) -> tuple[WorkerProcess, WorkerProcess]:
    """Give the worker that runs a job, and the other."""
    bench.until_noted(job_id)
    query = "SELECT worker_id::text FROM queueworker.claim WHERE %s = ANY (ids)"
    return (one, two) if bench.one(query, job_id) == one.identity(1)[1] else (two, one)


def refused(bench: Bench) -> int:
    """Give how many results the database has refused."""
    return int(bench.one("SELECT coalesce(sum(refused), 0) FROM queueworker.queue_counter"))


def is_running(pid: int) -> bool:
    """Tell whether a process lives; a zombie does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123 - a proc file
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
