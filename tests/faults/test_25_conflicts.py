"""Row 25: deadlocks and serialization failures are retried and counted."""

import psycopg
from tests.support.postgres import has_waiter
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

METRIC = "queueworker_database_conflicts_total{"


def conflicts(worker: WorkerProcess) -> float:
    lines = worker.probe("/metrics")[1].splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(METRIC))


def test_serialization_failures_are_done_again_until_all_jobs_ran_once(
    dsn: str, bench: Bench
) -> None:
    strict = f"{dsn} options='-c default_transaction_isolation=serializable'"
    with WorkerProcess(strict) as one, WorkerProcess(strict) as two:
        one.ready(), two.ready()
        count = 0
        for _ in range(10):
            ids = bench.enqueue("sleeper", count=100, seconds=0.01)
            bench.until_gone(*ids)
            count += 100
            if conflicts(one) + conflicts(two):
                break
        assert conflicts(one) + conflicts(two) > 0
        bench.until("SELECT sum(succeeded) = %s FROM queueworker.queue_counter", count)

    assert bench.one("SELECT sum(started) FROM queueworker.queue_counter") == count
    assert bench.one("SELECT count(*) FROM queueworker.failure") == 0


def test_a_deadlock_costs_a_completion_one_more_try(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn) as worker, psycopg.connect(dsn) as rival:
        worker.ready()
        rival.execute("SET deadlock_timeout = '30s'")  # so that the worker is the victim
        rival.commit()
        rounds = 0
        for first in (0, 1) * 4:
            rounds += 1
            embrace(bench, rival, first)
            if conflicts(worker):
                break
        assert conflicts(worker) > 0
        bench.until("SELECT sum(succeeded) = %s FROM queueworker.queue_counter", 2 * rounds)

    assert bench.one("SELECT sum(started) FROM queueworker.queue_counter") == 2 * rounds
    assert bench.one("SELECT sum(refused) FROM queueworker.queue_counter") == 0


def embrace(bench: Bench, rival: psycopg.Connection[tuple[object, ...]], first: int) -> None:
    """Hold one of two rows that one completion deletes, then ask for the other one."""
    lock = "SELECT 1 FROM queueworker.job WHERE id = %s FOR UPDATE"
    ids = bench.enqueue("sleeper", count=2, seconds=1.0)
    bench.until("SELECT count(*) = 2 FROM queueworker.jobs WHERE state = 'running'")
    rival.execute(lock, (ids[first],))
    wait_until(lambda: has_waiter(bench.conn), what="the worker waits", every_s=0.01)
    rival.execute(lock, (ids[1 - first],))
    rival.commit()
    bench.until_gone(*ids)
