"""A container that ended some time ago runs its next worker: the operator ends no lease of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.controlplane import ApiServer
from tests.support.judge import Judge
from tests.support.mail import Place, deployment, pod, queue_worker, secret
from tests.support.operator_process import grant, kubeconfig_of_account, running_operator
from tests.support.postgres import Connection
from tests.support.waiting import wait_until


@pytest.fixture
def place(crd: ApiServer, namespace: str) -> Place:
    grant(crd, namespace)
    return Place(server=crd, namespace=namespace)


def container(restarts: int, **last: Any) -> dict[str, Any]:
    return {
        "name": "worker",
        "image": "mail-worker:1",
        "imageID": "",
        "ready": True,
        "restartCount": restarts,
        "state": {"running": {}},
        "lastState": last,
    }


def restarted(name: str, *, ago_s: float) -> dict[str, Any]:
    """Give a pod whose container ended so long ago, and runs again."""
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    end = {"exitCode": 137, "finishedAt": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    body = pod(name)
    body["status"]["containerStatuses"] = [container(1, terminated=end)]
    return body


def register(conn: Connection, place: Place, name: str, *, age_s: int) -> None:
    """Add the row of a worker that has lived for so long."""
    conn.execute(
        "SELECT queueworker.register_worker(gen_random_uuid(), %s, %s, 'node', "
        "'1', ARRAY['mail'], ARRAY['send'], 10, 3600)",
        (name, place.namespace),
    )
    conn.execute(
        "UPDATE queueworker.worker SET started_at = started_at - make_interval(secs => %s) "
        "WHERE pod = %s",
        (age_s, name),
    )


def workers(conn: Connection) -> set[str]:
    return {pod for (pod,) in conn.execute("SELECT pod FROM queueworker.worker")}


def test_a_restart_that_is_learned_after_a_gap_of_the_watch_ends_no_lease_of_the_new_worker(
    place: Place, judge: Judge, tmp_path: Path, dsn: str, conn: Connection
) -> None:
    place.apply(deployment(replicas=2), queue_worker(minReplicas=2), secret(dsn))
    for name in ("restarted", "deleted"):
        body = pod(name)
        body["status"]["containerStatuses"] = [container(0)]
        place.add_pod(body)
        register(conn, place, name, age_s=10)
    kubeconfig = kubeconfig_of_account(place.server, place.namespace, tmp_path)
    with running_operator(judge, kubeconfig, tmp_path / "operator.log"):
        place.await_condition("Ready", "AsExpected")

        place.set_pod(restarted("restarted", ago_s=20))
        place.kubectl("delete", "pod", "deleted", "--grace-period=0", "--force")
        wait_until(lambda: "deleted" not in workers(conn), within_s=5, what="its row is gone")

        assert workers(conn) == {"restarted"}
