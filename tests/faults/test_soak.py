"""Half a minute of the long runs: kills every two seconds, and restarts one after the other."""

import signal
import statistics
import threading
import time
from contextlib import ExitStack
from typing import Self

import pytest
from tests.support.fault_workers import SHORT_TTL_S, refused, short
from tests.support.worker_process import Bench

SOAK_S = 30.0
KILL_EVERY_S = 2.0
WORKERS = 4
# A suspect runs alone: it waits for what runs in its worker, and for a worker that has no other.
ALONE_S = 2.0

pytestmark = pytest.mark.slow_fault


class Load:
    """Enqueues in its own thread until stopped."""

    def __init__(self, dsn: str, task: str, seconds: float, per_s: float) -> None:
        self.ids: list[int] = []
        self._dsn, self._task, self._seconds, self._per_s = dsn, task, seconds, per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with Bench(self._dsn) as bench:
            while not self._stop.wait(5 / self._per_s):
                self.ids += bench.enqueue(
                    self._task, count=5, seconds=self._seconds, max_attempts=20
                )


def test_kills_every_two_seconds_lose_nothing_and_jobs_rerun_within_the_lease_and_a_second(
    dsn: str, bench: Bench
) -> None:
    """An effect in the completing transaction shows each accepted result: one a job, or else."""
    killed = 0
    with ExitStack() as stack, Load(dsn, "slow_effect", 0.2, 30) as load:
        workers = [stack.enter_context(short(dsn)) for _ in range(WORKERS)]
        for worker in workers:
            worker.ready()
        ends_s = time.monotonic() + SOAK_S
        while time.monotonic() < ends_s:
            time.sleep(KILL_EVERY_S)
            workers.pop(0).signal(signal.SIGKILL)
            workers.append(stack.enter_context(short(dsn)))
            killed += 1
        load.__exit__()
        bench.until_gone(*load.ids)

    effects = "SELECT count(*), count(DISTINCT job_id) FROM ledger WHERE note = 'effect'"
    # A job that was in three killed workers is a dead letter, by contract: seldom, and never lost.
    dead = bench.conn.execute("SELECT kind, crash_count FROM queueworker.dead_job").fetchall()
    assert dead == [("crash", 3)] * len(dead)
    assert len(dead) <= 1
    effected = len(load.ids) - len(dead)
    assert bench.conn.execute(effects).fetchone() == (effected, effected)
    reruns = [float(row[0]) for row in bench.conn.execute(RERUNS)]
    assert killed >= 10
    assert len(reruns) >= 5
    p50, most = statistics.median(reruns), max(reruns)
    print(f"{killed} kills, {len(reruns)} reruns, p50 {p50:.2f} s, most {most:.2f} s")
    # From a start to the next: the first ran for up to 0.2 s before the kill.
    assert p50 <= SHORT_TTL_S + 1 + 0.2
    assert most <= SHORT_TTL_S + 1 + 0.2 + ALONE_S


RERUNS = """
SELECT extract(epoch FROM started_at - earlier) FROM (
  SELECT started_at, lag(started_at) OVER (PARTITION BY job_id ORDER BY started_at) AS earlier
  FROM ledger WHERE note = 'start'
) AS starts WHERE earlier IS NOT NULL
"""


def test_rolling_restarts_fail_nothing_repeat_nothing_and_charge_nothing(
    dsn: str, bench: Bench
) -> None:
    grace_s, exits = 5.0, []
    with ExitStack() as stack, Load(dsn, "nap", 0.2, 30) as load:
        workers = [stack.enter_context(short(dsn, "--grace", str(grace_s))) for _ in range(3)]
        for worker in workers:
            worker.ready()
        ends_s = time.monotonic() + SOAK_S
        while time.monotonic() < ends_s:
            workers.append(stack.enter_context(short(dsn, "--grace", str(grace_s))))
            workers[-1].ready()
            began_s = time.monotonic()
            assert workers.pop(0).stop(grace_s) == 0
            exits.append(time.monotonic() - began_s)
        load.__exit__()
        bench.until_gone(*load.ids)

    assert bench.one("SELECT count(*) FROM ledger WHERE note = 'start'") == len(load.ids)
    assert bench.one("SELECT count(*) FROM ledger WHERE note = 'end'") == len(load.ids)
    assert bench.one("SELECT max(attempt) FROM ledger") == 1
    assert bench.one("SELECT count(*) FROM queueworker.failure") == 0
    assert bench.one("SELECT count(*) FROM queueworker.dead_job") == 0
    assert refused(bench) == 0
    print(f"{len(exits)} restarts, {len(load.ids)} jobs, longest exit {max(exits):.2f} s")
    assert max(exits) < grace_s


def test_random_faults_keep_the_contract() -> None:
    from tests.faults.mix import run  # noqa: PLC0415 - it is a command, too

    assert run(seed=7, rounds=13) == []
