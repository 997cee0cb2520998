"""A cluster whose etcd is put back to an older state: its objects' versions go back with it."""

from pathlib import Path

import pytest
from tests.kubernetes.conftest import CRD
from tests.support.controlplane import run_restorable
from tests.support.judge import Judge
from tests.support.mail import Place, deployment, queue_worker, secret
from tests.support.operator_process import grant, kubeconfig_of_account, running_operator
from tests.support.size_watch import SizeWatch
from tests.support.waiting import wait_until

NOTICED_WITHIN_S = 30.0
BOTH = ("deployment/mail-worker", "queueworker/mail")
CHANGES = 10  # more than what comes to pass between the restore and the next look at the Lease


@pytest.mark.timeout(240)
def test_an_operator_takes_what_a_restored_cluster_has_and_goes_on(
    dsn: str, tmp_path: Path
) -> None:
    """Nobody judges it: with the store, also the history goes back that a judge follows."""
    with run_restorable() as cluster:
        server = cluster.server
        server.define(CRD)
        server.kubectl("create", "namespace", "shop")
        grant(server, "shop")
        place = Place(server=server, namespace="shop")
        place.apply(deployment(), queue_worker(), secret(dsn))
        kubeconfig = kubeconfig_of_account(server, "shop", tmp_path)
        cluster.save()
        sizes = SizeWatch(place)
        with running_operator(Judge(sizes=sizes), kubeconfig, tmp_path / "log") as operator:
            sizes.stop()
            place.await_told("Ready")
            place.kubectl("scale", "queueworker/mail", "--replicas=5")
            place.await_replicas(5)
            for number in range(CHANGES):
                place.kubectl("annotate", *BOTH, f"changed={number}", "--overwrite")

            cluster.restore()
            assert place.replicas() == 0
            place.kubectl("scale", "queueworker/mail", "--replicas=2")

            place.await_replicas(2, within_s=NOTICED_WITHIN_S)
            place.await_told("Ready")
            wait_until(
                lambda: "queueworker_leader 1.0" in operator.get("/metrics")[1],
                within_s=NOTICED_WITHIN_S,
                what="it leads",
            )
            told = [line["message"] for line in operator.lines()]
            assert [text for text in told if "went back" in text and "etcd was restored" in text]
