"""A worker as users start it: the command line, in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.types.json import Json
from tests.support.ledger_tasks import TABLE
from tests.support.waiting import PATIENCE_S, wait_until

ROOT = Path(__file__).parents[2]
APP = "tests.support.ledger_tasks:app"
READY = re.compile(r"ready: port (\d+), worker ([0-9a-f-]{36})")
START_WITHIN_S = PATIENCE_S


def environment(dsn: str, **extra: str) -> dict[str, str]:
    """Give what a worker or a command sees; nothing of this process's own settings."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("QUEUEWORKER", "PG"))
    }
    path = f"{Path(sys.executable).parent}:{kept['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "QUEUEWORKER_DSN": dsn, **extra}


def run_command(dsn: str, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run `queueworker ...` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "queueworker", *arguments],
        env=environment(dsn, **extra),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class WorkerProcess:
    """One worker; leaving the block kills it if it still runs."""

    def __init__(
        self,
        dsn: str,
        *arguments: str,
        concurrency: int = 4,
        through: Callable[[list[str]], list[str]] = list,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, `through` another command where that is the point of the test."""
        self.dsn = dsn
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(TABLE)
        command = [sys.executable, "-m", "queueworker", "worker", "--app", APP, "--port", "0"]
        queues = () if "--queue" in arguments else ("--queue", "mail")
        self.process = subprocess.Popen(
            through([*command, *queues, "--concurrency", str(concurrency), *arguments]),
            env=environment(dsn, **(environ or {})),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self._reader.join(5)
        if self.process.stderr is not None:
            self.process.stderr.close()

    @property
    def log(self) -> str:
        return "".join(self.lines)

    @property
    def pid(self) -> str:
        return str(self.process.pid)

    def ready(self) -> Self:
        """Wait until it may claim."""
        self.identity(1)
        return self

    def identity(self, number: int) -> tuple[int, str]:
        """Wait for its n-th lease; give its port and its id."""

        def found() -> tuple[int, str] | None:
            matches = READY.findall(self.log)
            assert self.process.poll() is None, self.log
            return (
                (int(matches[number - 1][0]), matches[number - 1][1])
                if len(matches) >= number
                else None
            )

        return wait_until(found, within_s=START_WITHIN_S, what=f"lease {number}", every_s=0.02)

    def probe(self, path: str) -> tuple[int, str]:
        """Ask one of the worker's pages."""
        port = int(READY.findall(self.log)[0][0])
        return probe(port, path)

    def signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def stop(self, within_s: float = PATIENCE_S) -> int:
        """Send SIGTERM; give the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(within_s)

    def wait(self, within_s: float = PATIENCE_S) -> int:
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no exit within {within_s} s:\n{self.log}") from None

    def _read(self) -> None:
        stream = self.process.stderr
        # A child that outlives its killed worker for a while holds the other end open.
        with suppress(ValueError):
            self.lines.extend(iter(stream.readline, "") if stream is not None else ())


def cpu_s(worker: WorkerProcess) -> float:
    """Give the time on a processor that a worker has had."""
    fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def probe(port: int, path: str) -> tuple[int, str]:
    """Give the status and the text of a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Bench:
    """What a test asks the database, beside the workers."""

    def __init__(self, dsn: str) -> None:
        self.conn: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True)
        self.conn.execute(TABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.conn.close()

    def enqueue(self, task: str, queue: str = "mail", count: int = 1, **args: object) -> list[int]:
        """Enqueue through SQL, as any client may; one attempt unless `max_attempts` is given."""
        defaults = {"timeout_s": None, "priority": 0, "max_attempts": 1}
        options = {name: args.pop(name, default) for name, default in defaults.items()}
        rows = self.conn.execute(
            "SELECT queueworker.enqueue(%(queue)s, %(task)s, %(args)s::jsonb,"
            " timeout_s => %(timeout_s)s::float8, priority => %(priority)s::int,"
            " max_attempts => %(max_attempts)s::int)"
            " FROM generate_series(1, %(count)s)",
            {
                "queue": queue,
                "task": task,
                "args": Json(args),
                "count": count,
                **options,
            },
        )
        return [row[0] for row in rows.fetchall()]

    def notes(self, *job_ids: int) -> list[str]:
        """Give the ledger's notes of these jobs, in order."""
        rows = self.conn.execute(
            "SELECT note FROM ledger WHERE job_id = ANY (%s) ORDER BY started_at", (list(job_ids),)
        )
        return [row[0] for row in rows.fetchall()]

    def runs(self, job_id: int, note: str = "start") -> list[tuple[int, int, str]]:
        """Give (attempt, token, process) of each entry of a job."""
        return self.conn.execute(
            "SELECT attempt, token, worker FROM ledger WHERE job_id = %s AND note = %s"
            " ORDER BY started_at",
            (job_id, note),
        ).fetchall()

    def state(self, job_id: int) -> tuple[str, int] | None:
        """Give (state, attempt) of a job, or None when it is done and gone."""
        return self.conn.execute(
            "SELECT state, attempt FROM queueworker.jobs WHERE id = %s", (job_id,)
        ).fetchone()

    def crash_count(self, job_id: int) -> int:
        row = self.conn.execute(
            "SELECT crash_count FROM queueworker.job WHERE id = %s", (job_id,)
        ).fetchone()
        return -1 if row is None else row[0]

    def end_leases(self) -> None:
        """Take all workers' leases away, and give their jobs to others."""
        self.conn.execute("DELETE FROM queueworker.worker")
        self.conn.execute("SELECT queueworker.rescue()")

    def one(self, query: str, *parameters: object) -> Any:
        row = self.conn.execute(query, parameters).fetchone()
        return None if row is None else row[0]

    def until(self, query: str, *parameters: object, within_s: float = PATIENCE_S) -> None:
        """Wait until a query's only value is true."""
        wait_until(
            lambda: self.one(query, *parameters), within_s=within_s, what=query, every_s=0.02
        )

    def until_noted(self, job_id: int, note: str = "start", within_s: float = PATIENCE_S) -> float:
        """Wait for a ledger entry; give the time that took."""
        began_s = time.monotonic()
        query = "SELECT true FROM ledger WHERE job_id = %s AND note LIKE %s LIMIT 1"
        self.until(query, job_id, f"{note}%", within_s=within_s)
        return time.monotonic() - began_s

    def until_gone(self, *job_ids: int, within_s: float = PATIENCE_S) -> None:
        """Wait until these jobs have left the queue, done or dead."""
        query = "SELECT NOT EXISTS (SELECT FROM queueworker.job WHERE id = ANY (%s))"
        self.until(query, list(job_ids), within_s=within_s)
