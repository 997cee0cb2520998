"""Fake nodes carry as many pods as a Deployment asks for, and lose those with the lowest cost."""

import json

from tests.support.controlplane import ApiServer
from tests.support.waiting import wait_until

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "worker"},
    "spec": {
        "replicas": 100,
        "selector": {"matchLabels": {"app": "worker"}},
        "template": {
            "metadata": {"labels": {"app": "worker"}},
            "spec": {"containers": [{"name": "worker", "image": "none"}]},
        },
    },
}


def test_a_hundred_pods_start_and_the_cheapest_go_first(fake_cluster: ApiServer) -> None:
    fake_cluster.kubectl("create", "-f", "-", stdin=json.dumps(DEPLOYMENT))
    rollout = ["rollout", "status", "deployment/worker", "--timeout=50s"]
    fake_cluster.kubectl(*rollout)
    cheap = set(sorted(pods(fake_cluster))[:40])
    cost = "controller.kubernetes.io/pod-deletion-cost=-100"
    fake_cluster.kubectl("annotate", *(f"pod/{name}" for name in cheap), cost)

    fake_cluster.kubectl("scale", "deployment/worker", "--replicas=60")
    wait_until(lambda: len(pods(fake_cluster)) == 60, within_s=30, what="40 pods are gone")

    assert pods(fake_cluster).isdisjoint(cheap)


def pods(server: ApiServer) -> set[str]:
    return set(server.kubectl("get", "pods", "-o", "name").replace("pod/", "").split())
