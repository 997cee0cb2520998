"""A QueueWorker in DryRun beside a live HPA, on a real API server with real controllers."""

import itertools
import json
import os
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from tests.support.controlplane import ApiServer
from tests.support.judge import Judge, Others
from tests.support.mail import Place, deployment, queue_worker, secret
from tests.support.operator_process import (
    command,
    grant,
    kubeconfig_of_account,
    running_operator,
)
from tests.support.postgres import CANARY, Connection
from tests.support.waiting import wait_until
from tests.support.worker_process import WorkerProcess

CRD = Path(__file__).parents[2] / "crds" / "queueworkers.queueworker.dev.yaml"
MINUTES = int(os.environ.get("DRY_RUN_MINUTES", "2"))
HPA = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "mail"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mail-worker"},
        "minReplicas": 3,
        "maxReplicas": 3,
        "metrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 50},
                },
            }
        ],
    },
}
ENQUEUE = "SELECT queueworker.enqueue_many('mail', 'quick', array_fill('{}'::jsonb, ARRAY[%s]))"
KEPT = "SELECT count(*)::int FROM queueworker.dry_run_minute"


@pytest.fixture
def place(fake_cluster: ApiServer) -> Place:
    name = f"dry-{time.monotonic_ns()}"
    fake_cluster.define(CRD)
    fake_cluster.kubectl("create", "namespace", name)
    grant(fake_cluster, name)
    return Place(server=fake_cluster, namespace=name)


def writers(place: Place) -> set[str]:
    """Name whoever wrote anything of the Deployment or its pods."""
    shown = ("get", "deployments,pods", "--show-managed-fields", "-o", "json")
    bodies = json.loads(place.kubectl(*shown))["items"]
    return {
        entry["manager"] for body in bodies for entry in body["metadata"].get("managedFields", ())
    }


def hpa(place: Place, replicas: int) -> None:
    """Let the HPA give so many: it acts on its bounds without any metric."""
    bounds = {"spec": {"minReplicas": replicas, "maxReplicas": replicas}}
    place.kubectl("patch", "hpa", "mail", "--type=merge", "-p", json.dumps(bounds))
    place.await_replicas(replicas, within_s=60)


@pytest.mark.timeout(900)
@pytest.mark.others_write(Others.HPA)
def test_a_dry_run_beside_a_live_hpa_writes_nothing_and_prints_the_comparison(
    place: Place, judge: Judge, dsn: str, conn: Connection, tmp_path: Path
) -> None:
    """DRY_RUN_MINUTES=10 makes it last so long."""
    kubeconfig = kubeconfig_of_account(place.server, place.namespace, tmp_path)
    place.apply(deployment(replicas=1), secret(dsn), queue_worker(mode="DryRun"), HPA)
    with (
        WorkerProcess(dsn, concurrency=4) as worker,
        running_operator(judge, kubeconfig, tmp_path / "log") as operator,
    ):
        worker.ready()
        place.await_condition("Paused", "DryRun")
        for minute, replicas in zip(
            range(MINUTES + 1), itertools.cycle((3, 1, 4, 2)), strict=False
        ):
            conn.execute(ENQUEUE, (300,))
            hpa(place, replicas)
            wait_until(partial(has_kept, conn, minute), within_s=130, what="a minute")
        conflicted = place.condition("Conflicted")["status"]
        status = place.get("queueworker", "mail")["status"]
        asked, written = place.replicas(), writers(place)

    assert conflicted == "False"
    assert status["replicas"]["current"] == asked
    assert "queueworker-operator" not in written
    assert written  # somebody else did
    told = subprocess.run(
        command("compare", f"{place.namespace}/mail", "--dsn", dsn),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    print(told)  # noqa: T201 -- the promise's figures
    print(sorted(written))  # noqa: T201
    assert "as it happened, measured" in told
    assert "with our decisions" in told
    assert CANARY not in told + operator.log.read_text()


def has_kept(conn: Connection, minutes: int) -> bool:
    return kept(conn) >= minutes


def kept(conn: Connection) -> int:
    row = conn.execute(KEPT).fetchone()
    assert row is not None
    return int(row[0])
