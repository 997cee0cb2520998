"""Row 17: the server's sessions are killed in a loop."""

import time

from tests.support.worker_process import Bench, WorkerProcess

KILL = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'queueworker %%'"
)
FOR_S = 4.0


def test_killed_sessions_lose_nothing_and_repeat_nothing(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn, concurrency=8) as one, WorkerProcess(dsn, concurrency=8) as two:
        one.ready(), two.ready()
        ids = bench.enqueue("sleeper", count=300, seconds=0.05)
        killed, ends_s = 0, time.monotonic() + FOR_S
        while time.monotonic() < ends_s:
            killed += bench.one(KILL)
            bench.until(
                "SELECT count(*) >= 3 FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'queueworker %%'"
            )
        (after,) = bench.enqueue("quick", priority=9)
        took_s = bench.until_noted(after, "quick")
        bench.until_gone(*ids, after)
        bench.until("SELECT sum(succeeded) = 301 FROM queueworker.queue_counter")
        bench.until("SELECT count(*) = 0 FROM queueworker.claim")
        log = one.log + two.log

    assert killed >= 20
    assert took_s < 5
    assert bench.one("SELECT sum(started) FROM queueworker.queue_counter") == 301
    assert bench.one("SELECT count(*) FROM queueworker.failure") == 0
    assert bench.one("SELECT count(*) FROM queueworker.dead_job") == 0
    assert "lease lost" not in log
