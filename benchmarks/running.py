"""A database with one system installed, and its programs as processes."""

import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.errors import NotCompleted, ProgramFailed
from benchmarks.machine import ROOT
from benchmarks.programs.handler import STAMP, START
from benchmarks.server import Connection, Server
from benchmarks.systems import Command, System

START_WITHIN_S = 60.0
STOP_WITHIN_S = 40.0
PROGRAM_WITHIN_S = 3600.0
FIRST_JOB_WITHIN_S, EMPTY_WITHIN_S = 60.0, 120.0
PROBE_EVERY_MS = 25
POLL_S, COUNT_EVERY_S = 0.005, 0.05

Process = subprocess.Popen[bytes]


class Start(NamedTuple):
    """One start of a tracked job, by the process `pid`; times are Unix seconds."""

    pid: int
    job_id: int
    token: int
    attempt: int
    enqueued_at_s: float
    started_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One fresh database with `system` installed; `conn` is the harness's own connection."""

    server: Server
    system: System
    database: str
    conn: Connection
    folder: Path
    workers: list[Process] = field(default_factory=list)

    def environment(self, command: Command) -> dict[str, str]:
        """Give what a program sees; none of this process's own settings of Postgres."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("QUEUEWORKER", "PG"))
        }
        url = self.server.url(self.database)
        return {
            **kept,
            "PYTHONPATH": str(ROOT),
            "BENCH_DSN": url,
            "QUEUEWORKER_DSN": url,
            "BENCH_FOLDER": str(self.folder),
            "NODE_ENV": "production",
            **command.environment,
        }

    def start(self, command: Command, *arguments: str) -> Process:
        """Start a program; its output goes to a file of its own."""
        number = len(list(self.folder.glob("*.log")))
        log = self.folder / f"{number}.log"
        with log.open("wb") as output, (self.folder / f"{number}.errors").open("wb") as errors:
            return subprocess.Popen(
                [*command.arguments, *arguments],
                cwd=self.folder,
                env=self.environment(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    def run(self, command: Command, *arguments: str) -> dict[str, float]:
        """Run a program to its end; give the JSON that it printed last, if any."""
        number = len(list(self.folder.glob("*.log")))
        process = self.start(command, *arguments)
        return self.result(process, number)

    def result(self, process: Process, number: int) -> dict[str, float]:
        """Wait for a program; give the JSON that it printed."""
        code = process.wait(PROGRAM_WITHIN_S)
        if code != 0:
            raise ProgramFailed(self._explain(f"a program of {self.system.name} ended with {code}"))
        lines = (self.folder / f"{number}.log").read_text().strip().splitlines()
        is_json = bool(lines) and lines[-1].startswith("{")
        return dict(json.loads(lines[-1])) if is_json else {}

    def produce(self, mode: str, options: Mapping[str, object]) -> dict[str, float]:
        """Run the system's producer to its end."""
        return self.run(self.system.producer, mode, *_pairs(options))

    def start_producer(self, mode: str, options: Mapping[str, object]) -> tuple[Process, int]:
        """Start the system's producer; give the process and its number, for `result`."""
        number = len(list(self.folder.glob("*.log")))
        return self.start(self.system.producer, mode, *_pairs(options)), number

    def start_workers(self, count: int) -> None:
        """Start worker processes."""
        self.workers.extend(self.start(self.system.worker) for _ in range(count))

    def stop_workers(self) -> None:
        """Ask all workers to drain, and wait for their ends."""
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.workers.clear()

    def first_start_s(self) -> float:
        """Wait for the first handler; give the time at which it started."""
        ends_s = time.monotonic() + START_WITHIN_S
        while not (marks := list(self.folder.glob("started.[0-9]*[0-9]"))):
            self.check_workers()
            if time.monotonic() > ends_s:
                what = f"no handler of {self.system.name} started in {START_WITHIN_S:g} s"
                raise ProgramFailed(self._explain(what))
            time.sleep(POLL_S)
        return min(float(mark.read_text()) for mark in marks)

    def check_workers(self) -> None:
        """Raise when a worker has ended by itself."""
        for worker in self.workers:
            if worker.poll() is not None:
                what = f"a worker of {self.system.name} ended with {worker.returncode}"
                raise ProgramFailed(self._explain(what))

    def count(self, query: str) -> int:
        """Run one of the system's counts."""
        row = self.conn.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0

    def check_calls(self, jobs: int) -> None:
        """Raise unless the handlers of the ended workers were called `jobs` times, none failed."""
        calls = sum(int(path.read_text()) for path in self.folder.glob("calls.[0-9]*[0-9]"))
        failed = self.count(self.system.failed)
        if calls < jobs or failed:
            raise NotCompleted(
                f"{self.system.name}: {jobs} jobs, {calls} handler calls, {failed} failed;"
                " the figure is void"
            )

    def stamps(self) -> list[tuple[float, float]]:
        """Give (enqueued at, started at) of all stamped jobs that ran, in seconds."""
        return [(at, start) for _, (at, start) in self._records("stamps", STAMP)]

    def starts(self) -> list[Start]:
        """Give every start of a tracked job."""
        return [Start(pid, *values) for pid, values in self._records("starts", START)]

    def _records(self, kind: str, record: str) -> Iterator[tuple[int, tuple[Any, ...]]]:
        size = struct.calcsize(record)
        for path in self.folder.glob(f"{kind}.*"):
            content = path.read_bytes()
            whole = len(content) - len(content) % size
            for values in struct.iter_unpack(record, content[:whole]):
                yield int(path.suffix[1:]), values

    def _explain(self, what: str) -> str:
        tails = [
            path.read_text(errors="replace").strip()[-600:]
            for path in sorted(self.folder.glob("*.errors"))
        ]
        return "\n".join([what, *filter(None, tails[-2:])])


@contextmanager
def site(server: Server, system: System) -> Iterator[Site]:
    """Install `system` in a fresh database for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="queueworker-bench-site-"))
    try:
        with server.fresh_database() as database, server.connect(database) as conn:
            place = Site(server=server, system=system, database=database, conn=conn, folder=folder)
            try:
                for command in system.install:
                    place.run(command)
                yield place
            finally:
                for worker in place.workers:
                    worker.kill()
                    worker.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pairs(options: Mapping[str, object]) -> list[str]:
    return [f"{key}={value}" for key, value in options.items()]


def await_first_job(place: Site) -> None:
    """Wait until the workers run what is enqueued."""
    ends_s = time.monotonic() + FIRST_JOB_WITHIN_S
    while not place.stamps():
        place.produce("probe", {"seconds": 0.2, "interval_ms": PROBE_EVERY_MS})
        place.check_workers()
        if time.monotonic() > ends_s:
            raise NotCompleted(f"{place.system.name}: no job started; the worker does not claim")
    await_empty(place)


def await_empty(place: Site) -> None:
    """Wait until all jobs are completed."""
    ends_s = time.monotonic() + EMPTY_WITHIN_S
    while left := place.count(place.system.unfinished):
        place.check_workers()
        if time.monotonic() > ends_s:
            raise NotCompleted(f"{place.system.name}: {left} jobs stay unfinished")
        time.sleep(COUNT_EVERY_S)
