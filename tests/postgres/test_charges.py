"""Only what may have run is charged for the end of its worker."""

import signal

from tests.support.fault_proxy import FaultProxy, Plan, socket_of, through
from tests.support.worker_process import Bench, WorkerProcess

SLOW_ANSWERS = Plan(delay_s=0.05)


def warm_up(bench: Bench, worker: WorkerProcess, jobs: int = 3000) -> None:
    """Let the worker learn that jobs are short, then hold the next ones until they are all there."""
    worker.ready()
    bench.until_gone(*bench.enqueue("noop", count=jobs))
    bench.conn.execute("SELECT queueworker.queue_pause('mail', true)")
    bench.until(
        "SELECT busy + held = 0 AND renewed_at > clock_timestamp() - interval '1 s'"
        " FROM queueworker.worker"
    )
    bench.until(
        "SELECT clock_timestamp() > %s::timestamptz + interval '1.5 s'",
        bench.one("SELECT clock_timestamp()"),
    )


def let_go(bench: Bench) -> None:
    bench.conn.execute("SELECT queueworker.queue_pause('mail', false)")


def charged(bench: Bench) -> int:
    bench.end_leases()
    count: int = bench.one("SELECT count(*) FROM queueworker.job WHERE crash_count > 0")
    return count


def test_a_claim_whose_answer_is_under_way_at_sigterm_charges_nothing(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("nap", seconds=0.2, max_attempts=1)
    bench.conn.execute("UPDATE queueworker.job SET crash_count = 0")
    for _ in range(3):
        bench.conn.execute("SELECT queueworker.queue_pause('mail', true)")
        with FaultProxy(socket_of(dsn)) as proxy:
            proxy.plan = SLOW_ANSWERS
            with WorkerProcess(through(dsn, proxy)) as worker:
                worker.ready()
                let_go(bench)
                bench.until("SELECT token > 0 FROM queueworker.job WHERE id = %s", job)
                assert worker.stop() == 0
        if bench.state(job) is None:
            return  # it had started, and was finished
        assert bench.state(job) == ("ready", 0)
        assert charged(bench) == 0


def test_a_suspect_is_not_buried_by_a_neighbour(dsn: str, bench: Bench) -> None:
    bench.enqueue("die_after", seconds=0.6, max_attempts=5)
    (suspect,) = bench.enqueue("nap", seconds=0.1, max_attempts=5)
    bench.conn.execute("UPDATE queueworker.job SET crash_count = 2 WHERE id = %s", (suspect,))
    with WorkerProcess(dsn) as worker:
        assert worker.wait(20) == -signal.SIGKILL
    bench.end_leases()

    assert bench.notes(suspect) == []
    assert bench.state(suspect) == ("ready", 0)
    assert bench.crash_count(suspect) == 2


def test_jobs_behind_longer_ones_than_foreseen_are_not_charged(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker:
        warm_up(bench, worker)
        bench.enqueue("die_after", seconds=2.0, max_attempts=5)
        bench.enqueue("die_after", count=3, seconds=30, max_attempts=5)
        bench.enqueue("quick", count=60, max_attempts=5)
        let_go(bench)
        assert worker.wait(20) == -signal.SIGKILL

    assert charged(bench) == 4


def test_a_worker_whose_loop_hangs_gives_a_thousand_jobs_back_in_time(
    dsn: str, bench: Bench
) -> None:
    with WorkerProcess(dsn, environ={"QUEUEWORKER_GRACE_S": "10"}) as worker:
        warm_up(bench, worker, jobs=4000)
        (spin,) = bench.enqueue("spin", seconds=60, max_attempts=5)
        bench.enqueue("quick", count=1500, max_attempts=5)
        let_go(bench)
        bench.until_noted(spin)
        bench.until("SELECT count(*) > 1000 FROM queueworker.job WHERE token > 0")
        assert worker.stop(within_s=10.0) == 0

    assert bench.one("SELECT count(*) FROM queueworker.job WHERE token > 0") == 0
    assert charged(bench) == 0


def test_a_suspect_runs_although_longer_jobs_keep_coming(dsn: str, bench: Bench) -> None:
    bench.enqueue("sleeper", count=4, seconds=3.0)
    (suspect,) = bench.enqueue("nap", seconds=0.1, max_attempts=5)
    bench.conn.execute("UPDATE queueworker.job SET crash_count = 2 WHERE id = %s", (suspect,))
    bench.enqueue("sleeper", count=40, seconds=3.0)
    with WorkerProcess(dsn) as worker:
        worker.ready()
        bench.until_gone(suspect)
