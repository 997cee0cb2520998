"""Twenty queues of one database cost the operator two connections and one query a second."""

import time
from collections.abc import Callable

from tests.support.deployed import Deployed
from tests.support.waiting import wait_until
from tests.support.workload import Workload

QUEUES = 20
MEASURED_S = 10.0
WINDOWS = (
    3  # autovacuum's transactions count too, once a minute: the least window is the operator's
)
# One lag query a second; each 5 s it also promotes and rescues for queues that have no worker.
QUERIES_PER_S = 1.7
CONNECTIONS = """
    SELECT count(*)
    FROM pg_stat_activity
    WHERE datname = 'twenty' AND usename = 'scaler' AND backend_type = 'client backend'
"""
TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'twenty'"


def test_connections_and_queries_do_not_grow_with_the_queues(
    install: Callable[[Workload], Deployed], measure: Callable[[str], None]
) -> None:
    first = install(Workload(name="twenty", max_replicas=1))
    others = [
        install(Workload(name=f"twenty-{n}", shares_database="twenty", max_replicas=1))
        for n in range(2, QUEUES + 1)
    ]
    wait_until(lambda: all_ready([first, *others]), within_s=60, what="all twenty are Ready")

    windows = [observe(first) for _ in range(WINDOWS)]
    connections, per_s = max(most for most, _ in windows), min(rate for _, rate in windows)
    measure(f"{QUEUES} queues of one database: {connections} connections, {per_s:.2f} queries/s")
    others[-1].enqueue(1, seconds=0.1)
    others[-1].wait_for_jobs(within_s=90)

    assert connections <= 2
    assert per_s <= QUERIES_PER_S
    assert others[-1].reconcile().each_ran_once, others[-1].reconcile()


def observe(deployed: Deployed) -> tuple[int, float]:
    """Count connections at most, and transactions a second, from another database."""
    most = 0
    with deployed.postgres.connect("postgres") as conn:
        before = one_number(conn.execute(TRANSACTIONS).fetchone())
        begun_s = time.monotonic()
        while time.monotonic() < begun_s + MEASURED_S:
            most = max(most, one_number(conn.execute(CONNECTIONS).fetchone()))
            time.sleep(0.5)
        after = one_number(conn.execute(TRANSACTIONS).fetchone())
        return most, (after - before) / (time.monotonic() - begun_s)


def one_number(row: tuple[int, ...] | None) -> int:
    assert row is not None
    return row[0]


def all_ready(deployed: list[Deployed]) -> bool:
    resources = deployed[0].cluster.find("queueworkers")
    names = {workload.workload.name for workload in deployed}
    ready = {
        resource["metadata"]["name"]
        for resource in resources
        for condition in resource.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
    return names <= ready
