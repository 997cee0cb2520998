"""The chart from an empty cluster to an empty cluster, where only restricted pods are admitted.

For one namespace by helm 4, for all by helm 3; `helm test` proves that what was installed scales.
"""

from collections.abc import Iterator

import pytest
from tests.support.cluster import Cluster, CommandFailed, Resource, names, restricted_namespace
from tests.support.helm import HELM_3, HELM_4, HelmRelease
from tests.support.images import Images
from tests.support.operator_release import QUEUE_WORKERS, OperatorRelease
from tests.support.waiting import wait_until
from tests.support.workload import Workload, queue_worker

OURS = "app.kubernetes.io/instance=queueworker"
KINDS = (
    "deployments,pods,services,secrets,configmaps,serviceaccounts,roles,rolebindings,"
    "jobs,networkpolicies,poddisruptionbudgets"
)
PRIVILEGED = '{"spec": {"containers": [{"name": "x", "image": "x", "securityContext": {"privileged": true}}]}}'
MORE = ("--set=replicas=2,podDisruptionBudget.enabled=true,networkPolicy.enabled=true",)


@pytest.fixture
def namespaces(empty_cluster: Cluster, scope: str) -> Iterator[tuple[Cluster, Cluster]]:
    """Give the release's namespace and another one, in a cluster that knows no QueueWorker."""
    name = f"chart-{scope.lower()}"
    with restricted_namespace(name) as own, restricted_namespace(f"{name}-2") as other:
        yield own, other
    empty_cluster.kubectl("delete", "crd", QUEUE_WORKERS, "--ignore-not-found")


@pytest.mark.parametrize(("scope", "helm"), [("Namespaced", HELM_4), ("Cluster", HELM_3)])
def test_a_release_is_installed_changed_taken_back_removed_and_brought_again(
    namespaces: tuple[Cluster, Cluster], images: Images, scope: str, helm: HelmRelease
) -> None:
    own, other = namespaces
    release = OperatorRelease(cluster=own, images=images, helm=helm)
    release.install(f"--set=scope={scope}")
    with pytest.raises(CommandFailed, match='violates PodSecurity "restricted'):
        own.kubectl("run", "x", "--image=x", f"--overrides={PRIVILEGED}", "--dry-run=server")
    for cluster in (own, other):
        cluster.apply(paused())
    wait_until(lambda: is_served(own), within_s=30, what="the operator answers the QueueWorker")

    release.upgrade(f"--set=scope={scope}", *MORE)
    changed = numbers(own)
    release.rollback(1)
    taken_back = numbers(own)
    before = own.get("queueworker", "kept")
    release.uninstall()
    left = own.find(KINDS, selector=OURS)
    kept = own.get("queueworker", "kept")
    release.install(f"--set=scope={scope}")
    proved = release.test()

    assert (changed, taken_back) == ((2, 1, 1), (1, 0, 0))
    assert names(left) == []
    assert (kept["metadata"]["uid"], kept["spec"]) == (before["metadata"]["uid"], before["spec"])
    assert "the operator scaled from 0" in proved
    assert names(own.find(KINDS, selector=f"{OURS},app.kubernetes.io/component=test")) == []
    assert is_served(other) == (scope == "Cluster")
    release.uninstall()


def paused() -> Resource:
    """Give a QueueWorker whose target and database are nowhere."""
    resource = queue_worker(Workload(name="kept"))
    resource["spec"]["mode"] = "Paused"
    return resource


def is_served(cluster: Cluster) -> bool:
    """Tell whether an operator wrote the status of the namespace's QueueWorker."""
    return bool(cluster.get("queueworker", "kept").get("status", {}).get("conditions"))


def numbers(cluster: Cluster) -> tuple[int, int, int]:
    """Count the operator's ready pods, the budgets and the policies."""
    deployment = cluster.get("deployment", "queueworker")
    ready = deployment["status"].get("readyReplicas", 0)
    found = [cluster.find(kind, selector=OURS) for kind in ("pdb", "networkpolicies")]
    return ready, len(found[0]), len(found[1])
