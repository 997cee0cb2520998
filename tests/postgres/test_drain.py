"""The drain flag, and what a worker without a lease or a database does; SIGTERM is in tests/faults."""

from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

AGED = "UPDATE queueworker.worker SET started_at = started_at - interval '1 minute'"


def test_what_a_job_without_a_lease_comes_to_changes_nothing(dsn: str, bench: Bench) -> None:
    (job,) = bench.enqueue("thread_nap", seconds=2.0, max_attempts=5)
    with WorkerProcess(dsn) as worker:
        bench.until_noted(job)
        bench.conn.execute(AGED)
        bench.end_leases()
        bench.until("SELECT count(*) = 2 FROM ledger WHERE note = 'start'", within_s=10)
        bench.until("SELECT count(*) = 2 FROM ledger WHERE note = 'end'")
        bench.until_gone(job)
        bench.until("SELECT sum(succeeded) = 1 FROM queueworker.queue_counter")
        assert "lease lost" in worker.log

    tokens = [token for _, token, _ in bench.runs(job)]
    assert tokens == sorted(set(tokens))


def test_the_drain_flag_stops_claims_and_its_end_resumes_them(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        _, worker_id = worker.identity(1)
        (running,) = bench.enqueue("nap", seconds=1.0)
        bench.until_noted(running)
        bench.conn.execute("SELECT queueworker.set_drain(%s::uuid[], true)", ([worker_id],))
        state = "FROM queueworker.worker_state('{mail}')"
        bench.until(f"SELECT draining AND busy = 1 {state}", within_s=1.5)
        (waiting,) = bench.enqueue("quick")
        bench.until_noted(running, "end")
        bench.until(f"SELECT draining AND busy = 0 AND held = 0 {state}", within_s=3)
        assert bench.state(waiting) == ("ready", 0)
        bench.conn.execute("SELECT queueworker.set_drain(%s::uuid[], false)", ([worker_id],))
        bench.until_gone(waiting, within_s=2)
        bench.until(f"SELECT NOT draining {state}", within_s=3)


def test_a_worker_reports_a_start_within_a_second(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        worker.ready()
        (job,) = bench.enqueue("nap", seconds=3)
        bench.until_noted(job)
        state = "FROM queueworker.worker_state('{mail}')"
        bench.until(f"SELECT busy = 1 AND oldest_start_age_s < 2 {state}", within_s=1.5)


def test_a_worker_that_never_reached_its_database_stops_too(dsn: str) -> None:
    with WorkerProcess(dsn, environ={"QUEUEWORKER_DSN": "host=/nowhere dbname=none"}) as worker:
        wait_until(lambda: "trying again" in worker.log, what="a warning")
        assert worker.stop(within_s=5) == 0
