"""Row 48: the kind `QueueWorker` is deleted, with all resources, and installed again."""

import json

from tests.support.controlplane import ApiServer
from tests.support.mail import deployment, queue_worker
from tests.support.operator_bench import OperatorBench
from tests.support.waiting import wait_until

MOST = 4
SAID_WITHIN_S = 20.0
OK, NOT_READY = 200, 503


def test_row_48_the_kind_can_be_deleted_and_installed_again(
    operated: OperatorBench, api_server: ApiServer
) -> None:
    """No finalizer holds the resources; the Deployments stay as they are; the operator waits."""
    operated.place.apply(operated.secret, deployment(), queue_worker(maxReplicas=MOST))
    operator = operated.start()
    operated.await_leader(operator)
    operated.enqueue(2000)
    operated.await_replicas(MOST)
    kind = "queueworkers.queueworker.dev"
    definition = api_server.kubectl("get", "crd", kind, "-o", "json")

    api_server.kubectl("delete", "crd", kind, "--wait=true", "--timeout=20s")
    wait_until(
        lambda: "waiting: the cluster does not know the kind" in operator.log.read_text(),
        within_s=SAID_WITHIN_S,
        what="the operator says what is missing",
    )
    assert operator.get("/livez")[0] == OK
    assert operator.get("/readyz")[0] == NOT_READY
    assert operated.sizes.now["mail-worker"] == MOST
    fresh = json.loads(definition)
    fresh = {name: fresh[name] for name in ("apiVersion", "kind", "spec")} | {
        "metadata": {"name": kind}
    }
    api_server.kubectl("create", "-f", "-", stdin=json.dumps(fresh))
    api_server.kubectl("wait", "--for=condition=Established", "--timeout=20s", f"crd/{kind}")
    wait_until(
        lambda: (
            "queueworkers" in api_server.kubectl("api-resources", "--api-group=queueworker.dev")
        ),
        within_s=20,
        what="the kind is served again",
    )
    operated.place.apply(queue_worker(maxReplicas=MOST, replicas=2))

    operated.await_replicas(2, within_s=15)
    assert operator.get("/readyz")[0] == OK
    operated.end(operator)
    assert operator.process.returncode == 0
