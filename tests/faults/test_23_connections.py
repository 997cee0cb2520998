"""Row 23: max_connections is reached."""

import time
from contextlib import ExitStack

import psycopg
from tests.support.own_server import OwnServer, own_server
from tests.support.postgres import with_database
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess, cpu_s, probe

SETTINGS = {
    "max_connections": "20",
    "superuser_reserved_connections": "3",
    "reserved_connections": "2",
}
ROLES = (
    "CREATE ROLE crowd LOGIN",
    "CREATE ROLE jobs LOGIN IN ROLE queueworker_worker",
    "CREATE ROLE scaler LOGIN IN ROLE queueworker_operator, pg_use_reserved_connections",
)


def login(server: OwnServer, user: str) -> str:
    return with_database(f"host={server.host}", "postgres", user=user)


def fill(server: OwnServer, stack: ExitStack) -> int:
    """Take every connection that is free to ordinary roles; give how many."""
    taken = 0
    while True:
        try:
            stack.enter_context(psycopg.connect(login(server, "crowd")))
        except psycopg.OperationalError:
            return taken
        taken += 1


def test_workers_wait_without_a_spin_and_the_operator_still_reads(unused_port: int) -> None:
    with own_server(SETTINGS) as server, ExitStack() as crowd:
        server.execute(*ROLES)
        settings = {"QUEUEWORKER_DSN": login(server, "jobs"), "QUEUEWORKER_LEASE_TTL_S": "3"}
        old = crowd.enter_context(WorkerProcess(server.dsn, environ=settings)).ready()
        wait_until(
            lambda: "queueworker_listening 1.0" in old.probe("/metrics")[1],
            within_s=10,
            what="the old one has all its connections",
        )
        server.execute("GRANT ALL ON ledger TO jobs")
        late = WorkerProcess(server.dsn, "--port", str(unused_port), environ=settings)
        crowd.enter_context(late)
        with ExitStack() as others:
            assert fill(server, others) > 5
            wait_until(lambda: "no room" in late.log, what="the refusal")
            before_s, lines = cpu_s(late), late.log.count("\n")
            time.sleep(4)
            used_s, told = cpu_s(late) - before_s, late.log.count("\n") - lines
            status, reason = probe(unused_port, "/readyz")
            with psycopg.connect(login(server, "scaler")) as scaler:
                lag = scaler.execute(
                    "SELECT workers FROM queueworker.queue_lag(ARRAY['mail'])"
                ).fetchone()
            with Bench(server.dsn) as bench:
                (job,) = bench.enqueue("sleeper", seconds=0.1)
                bench.until_gone(job)
                rescued = bench.one("SELECT sum(rescued) FROM queueworker.queue_counter")
        late.ready()
        log = old.log

    assert (status, "no room" in reason) == (503, True)
    assert used_s < 1.0
    assert told <= 4
    assert lag == (1,)
    assert rescued == 0
    assert "lease lost" not in log
