"""Row 16: failover to a streaming standby; a demoted primary is noticed by every connection."""

from tests.support.own_server import IMMEDIATE_STOP, OwnServer, both, primary_and_standby
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

CONNECTED = (
    "SELECT count(DISTINCT application_name) FROM pg_stat_activity"
    " WHERE application_name LIKE 'queueworker%' AND application_name <> 'queueworker-producer'"
)


def run_after(server: OwnServer, count: int = 50) -> tuple[float, int]:
    """Enqueue on a server; give the time to the first start and how many ran."""
    with Bench(server.dsn) as bench:
        (first,) = bench.enqueue("quick", priority=9)
        took_s = bench.until_noted(first, "quick")
        ids = bench.enqueue("quick", count=count, number=2)
        bench.until_gone(first, *ids)
        return took_s, bench.one("SELECT count(*) FROM ledger WHERE note = 'quick 2'")


def test_workers_follow_to_the_promoted_standby_and_lose_no_job() -> None:
    with primary_and_standby() as (primary, standby):
        dsn = both(primary, standby)
        with WorkerProcess(dsn) as worker:
            worker.ready()
            with Bench(primary.dsn) as bench:
                ids = bench.enqueue("effect", count=300, note="x", max_attempts=5)
                bench.until("SELECT count(*) >= 20 FROM ledger WHERE note = 'x'")
            primary.stop(IMMEDIATE_STOP)
            standby.promote()
            took_s, ran = run_after(standby)
            with Bench(standby.dsn) as bench:
                bench.until_gone(*ids, within_s=60)
                done = bench.one("SELECT count(DISTINCT job_id) FROM ledger WHERE note = 'x'")
                total = bench.one("SELECT count(*) FROM ledger WHERE note = 'x'")
                dead = bench.one("SELECT count(*) FROM queueworker.dead_job")
            wait_until(
                lambda: "queueworker_listening 1.0" in worker.probe("/metrics")[1],
                what="it listens to the new primary",
            )
            assert worker.stop(10) == 0

    assert took_s < 5
    assert ran == 50
    assert (done, total, dead) == (300, 300, 0)


def test_a_primary_that_is_demoted_without_a_restart_is_left_by_every_connection() -> None:
    with primary_and_standby() as (primary, standby):
        # The task's own connections need it spelled out; the worker's do it unasked.
        dsn = f"{both(primary, standby)} target_session_attrs=read-write"
        with WorkerProcess(dsn) as worker:
            worker.ready()
            wait_until(lambda: primary.execute(CONNECTED) == 4, what="all are connected")
            # The fence of a failover tool: the old primary stays up and keeps its sessions.
            primary.set("default_transaction_read_only", "on")
            standby.promote()
            took_s, ran = run_after(standby)
            wait_until(
                lambda: standby.execute(CONNECTED) == 4 and primary.execute(CONNECTED) == 0,
                what="claims, completions, lease and listener have moved",
            )
            log = worker.log

    assert took_s < 5
    assert ran == 50
    assert "read-only" in log
