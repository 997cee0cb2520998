"""A worker is small, and quick to start: what it imports and holds has a bound."""

import subprocess
import sys
import time

import pytest
from tests.support.worker_process import Bench, WorkerProcess

pytestmark = pytest.mark.postgres

MOST_BYTES = 48 << 20  # 42 MB were measured with CPython 3.11
MOST_MODULES = 460  # 409 were counted with CPython 3.11: asyncio, psycopg, prometheus_client, ours
# Each costs more than its use by a worker would be worth.
NEEDLESS = "aiohttp kopf multiprocessing opentelemetry pydoc pytest sqlite3 tkinter unittest uvloop xml yaml"
LIST = "import sys; import {}; print(' '.join(sorted(sys.modules)))"
# What declares tasks waits for none of these: the driver alone takes longer than all the rest.
LATER = "asyncio psycopg psycopg_binary prometheus_client ssl typing_extensions"


def held_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:  # noqa: PTH123 - a proc file
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["VmHWM"].split()[0]) * 1024


def imported_with(module: str) -> list[str]:
    command = [sys.executable, "-c", LIST.format(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_declaring_tasks_imports_neither_the_driver_nor_asyncio() -> None:
    modules = imported_with("queueworker")

    assert "queueworker.app" in modules
    assert [name for name in LATER.split() if name in modules] == []


def test_a_worker_imports_what_it_needs_and_little_else() -> None:
    modules = imported_with("queueworker.cli.worker")

    assert [name for name in NEEDLESS.split() if name in modules] == []
    assert len(modules) <= MOST_MODULES


def test_a_workers_memory_is_bounded_idle_and_after_thousands_of_jobs(dsn: str) -> None:
    with Bench(dsn) as bench, WorkerProcess(dsn, concurrency=10) as worker:
        worker.ready()
        idle_bytes = held_bytes(worker.process.pid)
        bench.enqueue("noop", count=5000)
        bench.until("SELECT count(*) = 0 FROM queueworker.job", within_s=60)
        after_bytes = held_bytes(worker.process.pid)

    assert idle_bytes <= MOST_BYTES
    assert after_bytes <= MOST_BYTES
    assert after_bytes - idle_bytes <= 6 << 20


def test_a_worker_is_ready_soon_after_its_start(dsn: str) -> None:
    """Measured in the time that Python and its driver alone take, on whatever machine."""
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", "import asyncio, psycopg"], check=True, timeout=60)
    alone_s = time.monotonic() - began_s
    began_s = time.monotonic()
    with WorkerProcess(dsn) as worker:
        worker.ready()
        took_s = time.monotonic() - began_s

    assert took_s < 6 * alone_s + 3
