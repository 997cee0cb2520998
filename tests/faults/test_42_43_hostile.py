"""Rows 42 and 43: many hostile resources and edits; a Deployment that is deleted."""

from pathlib import Path
from typing import Any

from tests.support.mail import deployment, queue_worker
from tests.support.operator_bench import OperatorBench, is_alive
from tests.support.operator_process import Operator

HOSTILE = 100
ROUNDS = 5
EDITED = 40
TARGETS = 5
MOST_GROWTH = 1.25
MOST = 4
SPECS: tuple[dict[str, Any], ...] = (
    {"database": {"secretRef": {"name": "absent"}}},
    {"database": {"secretRef": {"name": "mail-db", "key": "absent"}}},
    {"queues": [f"queue-{number}" for number in range(16)]},
    {"startWithin": "1s", "latePercent": 0.01, "maxReplicas": 10_000},
)


def rss_mb(operator: Operator) -> float:
    lines = Path(f"/proc/{operator.process.pid}/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def hostile(count: int, shift: int = 0) -> list[dict[str, Any]]:
    """Give resources that the API server takes and that cannot work, or claim another's target."""
    bodies = []
    for number in range(count):
        body = queue_worker(f"zz-{number}", **SPECS[(number + shift) % len(SPECS)])
        if number % TARGETS == 0:  # a target may not be edited: each shift keeps it
            body["spec"]["scaleTargetRef"]["name"] = "absent"
        bodies.append(body)
    return bodies


def test_row_42_hostile_resources_and_edits_neither_crash_nor_starve_nor_grow(
    operated: OperatorBench,
) -> None:
    operated.place.apply(operated.secret, deployment(), queue_worker(maxReplicas=MOST))
    operator = operated.start()
    operated.await_leader(operator)
    operated.place.await_told("Ready")
    operated.place.apply(*hostile(HOSTILE))
    operated.place.await_told("Ready", name=f"zz-{HOSTILE - 1}")
    before_mb = rss_mb(operator)

    for shift in range(1, ROUNDS + 1):
        operated.place.apply(*hostile(EDITED, shift))
    operated.enqueue(2000)

    operated.await_replicas(MOST, within_s=5)
    assert is_alive(operator)
    assert rss_mb(operator) < before_mb * MOST_GROWTH
    assert "Traceback" not in operator.log.read_text()


def test_row_43_a_deployment_that_is_deleted_is_named_and_scaled_when_it_is_back(
    operated: OperatorBench,
) -> None:
    operated.place.apply(operated.secret, deployment(), queue_worker(maxReplicas=MOST))
    operated.await_leader(operated.start())
    operated.enqueue(2000)
    operated.await_replicas(MOST)
    operated.place.kubectl("delete", "deployment", "mail-worker")
    told = operated.place.await_condition("Ready", "TargetMissing")
    assert "scaleTargetRef" in told["message"]

    operated.place.apply(deployment())

    operated.await_replicas(MOST)
