"""The API server refuses an invalid QueueWorker and says what to do; the valid one works on."""

import json
from collections.abc import Callable

import pytest
from tests.support.cluster import Cluster, CommandFailed, Resource
from tests.support.deployed import Deployed
from tests.support.operator_release import OperatorRelease
from tests.support.workload import Workload, queue_worker

REFUSED: dict[str, tuple[Resource, str]] = {
    "min above max": ({"minReplicas": 5, "maxReplicas": 2}, "lower minReplicas or raise"),
    "a promise of nothing": ({"startWithin": "0s"}, "from 1s to 24h"),
    "a promise without a unit": ({"startWithin": "30"}, "write it as 30s, 5m or 1h30m"),
    "a queue named twice": ({"queues": ["mail", "mail"]}, "remove the repeated name"),
    "no queue": ({"queues": []}, "should have at least 1 items"),
    "no Deployment": ({"scaleTargetRef": {"kind": "DaemonSet", "name": "x"}}, "Unsupported value"),
    "an unknown field": ({"minReplica": 1}, 'unknown field "spec.minReplica"'),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_a_new_one_is_refused_with_the_remedy(
    operator: OperatorRelease, change: Resource, message: str
) -> None:
    resource = queue_worker(Workload(name="refused"))
    resource["spec"] |= change

    with pytest.raises(CommandFailed) as refused:
        create(operator.cluster, resource)

    assert message in str(refused.value)
    assert operator.cluster.find("queueworkers", fields="metadata.name=refused") == []


def test_a_refused_change_leaves_the_old_one_at_work(
    install: Callable[[Workload], Deployed],
) -> None:
    deployed = install(Workload(name="changed", max_replicas=2))

    with pytest.raises(CommandFailed, match="scaleTargetRef cannot be changed"):
        deployed.cluster.kubectl(
            *("patch", "queueworker", "changed", "--type=merge"),
            *("-p", '{"spec": {"scaleTargetRef": {"name": "another"}}}'),
        )
    deployed.enqueue(5, seconds=0.1)
    deployed.wait_for_jobs(within_s=90)

    assert deployed.reconcile().each_ran_once, deployed.reconcile()


def create(cluster: Cluster, resource: Resource) -> None:
    cluster.kubectl("create", "--validate=strict", "-f", "-", stdin=json.dumps(resource))
