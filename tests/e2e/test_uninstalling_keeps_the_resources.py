"""Uninstalling the chart deletes no QueueWorker and touches no worker; installing takes them up."""

from collections.abc import Callable

from tests.support.deployed import Deployed
from tests.support.operator_release import OperatorRelease
from tests.support.waiting import wait_until
from tests.support.workload import Workload


def test_queue_workers_and_pods_outlive_the_operator(
    install: Callable[[Workload], Deployed], operator: OperatorRelease
) -> None:
    deployed = install(Workload(name="kept", min_replicas=1, max_replicas=2))
    wait_until(deployed.ready_pods, within_s=60, what="a worker is ready")
    before = deployed.cluster.get("queueworker", "kept")
    pods = deployed.ready_pods()

    printed = operator.uninstall()
    try:
        kept = deployed.cluster.get("queueworker", "kept")
        deployed.enqueue(10, seconds=0.1)
        deployed.wait_for_jobs(within_s=60)
        pods_meanwhile = deployed.ready_pods()
    finally:
        operator.install()

    assert "CustomResourceDefinition" in printed
    assert kept["metadata"]["uid"] == before["metadata"]["uid"]
    assert kept["spec"] == before["spec"]
    assert pods_meanwhile == pods
    deployed.cluster.kubectl("scale", "queueworker/kept", "--replicas=2")
    deployed.wait_for_replicas(2, within_s=60)
    assert deployed.reconcile().each_ran_once, deployed.reconcile()
