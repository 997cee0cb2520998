"""Row 48: the kind `QueueWorker` is deleted, with all resources, and installed again."""

import json
import time

from tests.support.controlplane import ApiServer
from tests.support.mail import deployment, queue_worker
from tests.support.operator_bench import OperatorBench
from tests.support.waiting import wait_until

MOST = 4
ENDS_WITHIN_S = 20.0


def test_row_48_the_kind_can_be_deleted_and_installed_again(
    operated: OperatorBench, api_server: ApiServer
) -> None:
    """No finalizer holds the resources; the Deployments stay as they are; the operator ends."""
    operated.place.apply(operated.secret, deployment(), queue_worker(maxReplicas=MOST))
    operator = operated.start()
    operated.await_leader(operator)
    operated.enqueue(2000)
    operated.await_replicas(MOST)
    kind = "queueworkers.queueworker.dev"
    definition = api_server.kubectl("get", "crd", kind, "-o", "json")

    api_server.kubectl("delete", "crd", kind, "--wait=true", "--timeout=20s")
    time.sleep(3)
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
    assert operator.process.wait(ENDS_WITHIN_S) != 0  # the kubelet starts it again
    operated.await_leader(operated.start())

    operated.await_replicas(2, within_s=30)
