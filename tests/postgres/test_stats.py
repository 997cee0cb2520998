"""Counts, rates and estimates of queues, once or as a table that is drawn again in place."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from tests.support.worker_process import Bench, WorkerProcess, environment, run_command

pytestmark = pytest.mark.postgres

HOME = "\033[H"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, dsn: str, *arguments: str, columns: int = 80, lines: int = 24) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        command = [sys.executable, "-m", "queueworker", *arguments]
        self.process = subprocess.Popen(
            command, env=environment(dsn), stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self.output = ""

    def until(self, pattern: str, within_s: float = 20.0) -> str:
        """Read until a pattern stands in the output; give all of it."""
        deadline_s = time.monotonic() + within_s
        while not re.search(pattern, self.output, re.DOTALL):
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"no {pattern!r} in {self.output!r}"
            if select.select([self._ours], [], [], left_s)[0]:
                self._read()
        return self.output

    def _read(self) -> None:
        try:
            self.output += os.read(self._ours, 65536).decode()
        except OSError:  # the command has ended
            return

    def interrupt(self) -> tuple[int, float]:
        """Send what Ctrl-C sends; give the exit status and how long that took."""
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(20)
        took_s = time.monotonic() - began_s
        self._read()
        return status, took_s

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)


@contextmanager
def terminal(dsn: str, *arguments: str, **size: int) -> Iterator[Terminal]:
    opened = Terminal(dsn, *arguments, **size)
    try:
        yield opened
    finally:
        opened.close()


def test_rates_waits_and_the_drain_are_measured_while_jobs_run(dsn: str, bench: Bench) -> None:
    bench.enqueue("nap", count=400, seconds=0.05)
    with WorkerProcess(dsn, concurrency=2):
        bench.until("SELECT count(*) > 10 FROM ledger WHERE note = 'end'")
        began_s, ended = time.monotonic(), "SELECT count(*) FROM ledger WHERE note = 'end'"
        before = bench.one(ended)
        (row,) = json.loads(run_command(dsn, "stats", "--json").stdout)
        observed_per_s = (bench.one(ended) - before) / (time.monotonic() - began_s)
        shown = run_command(dsn, "stats").stdout

    assert row["over_s"] == pytest.approx(1, abs=0.8)
    assert row["throughput_per_s"] == pytest.approx(observed_per_s, rel=0.7)
    assert row["arrivals_per_s"] == 0
    assert row["service_s"] > 0.05
    assert row["wait_p50_s"] > 0.1
    assert row["wait_p95_s"] >= row["wait_p50_s"]
    assert row["drain_in_s"] == pytest.approx(row["ready"] / row["throughput_per_s"])
    assert (row["slots"], row["workers"], row["paused"]) == (2, 1, False)
    header, line = shown.splitlines()
    assert header.split()[:3] == ["QUEUE", "READY", "OLDEST"]
    assert line.split()[0] == "mail"


def test_a_backlog_without_workers_is_never_drained_and_an_idle_queue_is(
    dsn: str, bench: Bench
) -> None:
    bench.enqueue("noop")
    bench.conn.execute("SELECT queueworker.ensure_queue('reports')")

    rows = json.loads(run_command(dsn, "stats", "--json").stdout)

    assert {row["queue"]: row["drain_in_s"] for row in rows} == {"mail": "never", "reports": 0}


def test_a_watched_table_is_drawn_in_place_within_the_terminal_and_ends_at_once(
    dsn: str, bench: Bench
) -> None:
    for number in range(12):
        bench.conn.execute("SELECT queueworker.ensure_queue(%s)", (f"queue-{number}",))
    with terminal(dsn, "stats", "--watch", columns=40, lines=8) as watched:
        watched.until(f"({re.escape(HOME)}QUEUE.*){{2}}")
        bench.enqueue("noop", queue="queue-11", count=77)
        watched.until("queue-11 +77")
        status, took_s = watched.interrupt()
        output = watched.output

    frames = output.split(HOME)[1:]
    drawn = [re.sub(r"\033\[\??[0-9]*[a-zA-Z]", "", frame).split("\r\n") for frame in frames[:-1]]
    assert len(drawn) >= 2
    for frame in drawn:
        assert len(frame) <= 8
        assert max(map(len, frame)) <= 40
    assert (status, took_s < 2) == (130, True)
    # The cursor and the first screen are back, and the last table stays there.
    assert output.rindex("\033[?1049l") > output.rindex(HOME)
    assert "queue-11" in output[output.rindex("\033[?1049l") :]
    assert "Traceback" not in output


def test_a_watch_waits_for_a_database_that_went_away(dsn: str, server: str, bench: Bench) -> None:
    bench.conn.execute("SELECT queueworker.ensure_queue('mail')")
    name = sql.Identifier(bench.conn.info.dbname)
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with terminal(dsn, "stats", "--watch", columns=200) as watched:
        watched.until(f"({re.escape(HOME)}QUEUE.*){{2}}")
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(allow.format(name, sql.SQL("false")))
            try:
                watched.until("mail.*trying again")
            finally:
                admin.execute(allow.format(name, sql.SQL("true")))
        bench.enqueue("noop", count=5)
        watched.until("mail +5")
        assert watched.interrupt()[0] == 130


def test_a_watch_for_programs_gives_a_line_a_reading(dsn: str, bench: Bench) -> None:
    bench.enqueue("noop")
    command = [sys.executable, "-m", "queueworker", "stats", "--watch", "--json"]
    with subprocess.Popen(
        command, env=environment(dsn), stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        readings = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130

    assert [reading[0]["ready"] for reading in readings] == [1, 1]
    assert readings[0][0]["arrivals_per_s"] is None
    assert readings[1][0]["arrivals_per_s"] == 0


def test_an_unknown_queue_is_an_error_with_near_names(dsn: str, bench: Bench) -> None:
    bench.conn.execute("SELECT queueworker.ensure_queue('mail')")
    done = run_command(dsn, "stats", "--queue", "mails")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "queueworker: there is no queue 'mails'; did you mean mail? see: queueworker queue list\n"
    )
