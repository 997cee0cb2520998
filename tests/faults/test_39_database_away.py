"""Row 39: the operator's database is away."""

import time
from typing import Any

from tests.support.fault_proxy import GOOD, Plan
from tests.support.history.operator import Span
from tests.support.mail import deployment, queue_worker
from tests.support.operator_bench import OperatorBench

AWAY = Plan(refuses=True)
QUEUES = 10
AWAY_S = 12.0
RIGHT_AGAIN_WITHIN_S = 5.0


def many(count: int, database: str = "mail-db", **more: Any) -> list[dict[str, Any]]:
    """Give Deployments of 3 replicas and their QueueWorkers."""
    bodies = []
    for number in range(count):
        name = f"{database}-{number}"
        bodies.append(deployment(name, replicas=3))
        spec: dict[str, Any] = more | {
            "scaleTargetRef": {"kind": "Deployment", "name": name},
            "queues": [name],
            "database": {"secretRef": {"name": database}},
        }
        bodies.append(queue_worker(name, **spec))
    return bodies


def test_row_39_while_the_database_is_away_no_replica_changes(operated: OperatorBench) -> None:
    for number in range(QUEUES):
        operated.enqueue(20_000, f"mail-db-{number}")
    operated.place.apply(operated.secret, *many(QUEUES))
    operated.await_leader(operated.start())
    names = [f"mail-db-{number}" for number in range(QUEUES)]
    for name in names:
        operated.await_replicas(50, name=name, within_s=20)
    sizes, tried = dict(operated.sizes.now), operated.database.accepted
    operated.database.plan = AWAY
    operated.database.cut_all()
    operated.conn.execute("DELETE FROM queueworker.job")
    began_s, began = time.monotonic(), time.time()
    operated.place.await_condition("MetricsAvailable", "MetricsUnavailable", name=names[0])
    time.sleep(max(0.0, began_s + AWAY_S - time.monotonic()))

    assert operated.sizes.now == sizes
    away_s = time.monotonic() - began_s
    assert operated.database.accepted - tried <= away_s + 1
    assert operated.check(blind=[Span(from_s=began, to_s=time.time())]) == []
    operated.database.plan = GOOD
    operated.place.await_condition(
        "MetricsAvailable", "AsExpected", name=names[-1], within_s=RIGHT_AGAIN_WITHIN_S
    )
