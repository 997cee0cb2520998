"""Row 29: the server's clock is set."""

import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support import postgres
from tests.support.clocks import faketime
from tests.support.fault_workers import SHORT_TTL_S, short
from tests.support.own_server import OwnServer, own_server
from tests.support.worker_process import Bench

from queueworker import embedded

HOUR_S = 3600
WORKERS = 5
STEP = """
WITH leases AS (
  UPDATE queueworker.worker SET expires_at = expires_at - %(back)s,
    renewed_at = renewed_at - %(back)s, started_at = started_at - %(back)s
), rescues AS (
  UPDATE queueworker.rescue_state SET looked_at = looked_at - %(back)s
)
UPDATE queueworker.queue SET swept_at = swept_at - %(back)s
"""


def set_clock(bench: Bench, seconds: int) -> None:
    """Do to all times that were written what a step of the clock does: they move against it."""
    bench.conn.execute(STEP, {"back": timedelta(seconds=seconds)})


@contextmanager
def busy_workers(dsn: str, bench: Bench, seconds: float) -> Iterator[tuple[ExitStack, list[int]]]:
    """Run a long job in each of some workers."""
    ids = bench.enqueue("nap", count=WORKERS, seconds=seconds, max_attempts=1)
    with ExitStack() as stack:
        workers = [stack.enter_context(short(dsn, concurrency=1)) for _ in range(WORKERS)]
        for worker in workers:
            worker.ready()
        bench.until("SELECT count(DISTINCT worker) = %s FROM ledger", WORKERS)
        yield stack, ids
        assert "lease lost" not in "".join(worker.log for worker in workers)


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_row_29_a_step_of_the_servers_clock_rescues_nobody(
    dsn: str, bench: Bench, step_s: int
) -> None:
    with busy_workers(dsn, bench, 4 * SHORT_TTL_S) as (_, ids):
        set_clock(bench, step_s)
        bench.until_gone(*ids)

    assert bench.one("SELECT count(*) FROM ledger WHERE note = 'start'") == WORKERS
    assert bench.one("SELECT count(*) FROM queueworker.failure") == 0


def test_row_29_a_lease_does_not_last_for_the_hour_that_the_clock_was_set_back(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("nap", seconds=3.0, max_attempts=5)
    with short(dsn) as victim:
        bench.until_noted(job)
        with short(dsn) as other:
            other.ready()
            victim.signal(signal.SIGKILL)
            set_clock(bench, -HOUR_S)
            bench.until("SELECT count(*) = 2 FROM ledger WHERE note = 'start'")


def step(clock: Path, seconds: int) -> None:
    """Set the clock at one instant: the library may read at any time."""
    new = clock.with_suffix(".new")
    new.write_text(f"+{seconds}")
    new.chmod(0o644)
    new.replace(clock)


@contextmanager
def server_with_a_clock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[OwnServer, Path]]:
    """Run a server whose clock is as many seconds ahead as the file says."""
    clock, binaries = path / "clock", path / "bin"
    step(clock, 0)
    binaries.mkdir()
    real = Path(postgres.BINARIES) if postgres.BINARIES else embedded._binaries()
    settings = {
        **{name: value for name, value in faketime(0).items() if name != "FAKETIME"},
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
    }
    words = shlex.join(f"{name}={value}" for name, value in settings.items())
    for program in real.iterdir():
        wrapper = binaries / program.name
        wrapper.write_text(f'#!/bin/sh\nexec env {words} {program} "$@"\n')
        wrapper.chmod(0o755)
    for directory in (path, *path.parents[:2]):
        directory.chmod(0o755)
    monkeypatch.setattr(postgres, "BINARIES", str(binaries))
    with own_server() as server:
        yield server, clock


@pytest.mark.system
def test_row_29_a_real_server_whose_clock_is_set_rescues_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = server_with_a_clock(tmp_path, monkeypatch)
    with made as (server, clock), Bench(server.dsn) as bench:
        before = bench.one("SELECT extract(epoch FROM clock_timestamp())::float8")
        with busy_workers(server.dsn, bench, 5 * SHORT_TTL_S) as (_, ids):
            step(clock, HOUR_S)
            bench.until("SELECT extract(epoch FROM clock_timestamp()) > %s", before + HOUR_S)
            time.sleep(SHORT_TTL_S)  # the step forward lasts for a lease, then comes the step back
            step(clock, 0)
            bench.until_gone(*ids)
        starts = bench.one("SELECT count(*) FROM ledger WHERE note = 'start'")
        failures = bench.one("SELECT count(*) FROM queueworker.failure")

    assert (starts, failures) == (WORKERS, 0)
