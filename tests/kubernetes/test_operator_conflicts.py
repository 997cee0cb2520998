"""Of two that want one target, one acts; a rival writer is named and left alone."""

import pytest
from tests.support.judge import Others
from tests.support.mail import Place, deployment, enqueue, queue_worker, secret
from tests.support.operator_process import Start
from tests.support.postgres import Connection
from tests.support.waiting import wait_until

ONE_REPLICA = ("--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":1}}')


def test_the_younger_of_two_on_one_target_is_conflicted_and_not_acted_upon(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 200, "other")
    place.apply(deployment(), secret(dsn), queue_worker("a-young-one", queues=["other"]))
    place.kubectl("delete", "queueworker", "a-young-one")
    place.apply(queue_worker("old"))
    wait_until(lambda: _age_differs(place), within_s=5, what="a second has passed", every_s=0.3)
    place.apply(queue_worker("a-young-one", queues=["other"]))
    start()

    told = place.await_condition("Conflicted", "DuplicateTarget", name="a-young-one")

    assert f"{place.namespace}/old is older" in told["message"]
    assert place.condition("Ready", "a-young-one")["status"] == "False"
    assert place.condition("Conflicted", "old").get("status") != "True"
    assert place.replicas() == 0


def _age_differs(place: Place) -> bool:
    place.kubectl("delete", "configmap", "clock", "--ignore-not-found")
    place.kubectl("create", "configmap", "clock")
    stamps = [
        place.get(kind, name)["metadata"]["creationTimestamp"]
        for kind, name in (("queueworker", "old"), ("configmap", "clock"))
    ]
    return bool(stamps[0] != stamps[1])


def test_overlapping_queues_of_one_database_are_a_conflict(
    place: Place, start: Start, dsn: str
) -> None:
    place.apply(deployment(), deployment("other-worker"), secret(dsn))
    place.apply(queue_worker("a", queues=["mail", "reports"]))
    target = {"kind": "Deployment", "name": "other-worker"}
    place.apply(queue_worker("b", queues=["reports"], scaleTargetRef=target))
    start()

    told = place.await_condition("Conflicted", "OverlappingQueues", name="b")

    assert "for queue reports already" in told["message"]


@pytest.mark.others_write(Others.RIVAL)
@pytest.mark.parametrize(
    ("manager", "told_of"),
    [
        ("argocd", "argocd keeps overwriting the replicas of deployment mail-worker: remove it"),
        ("kube-controller-manager", "an HPA keeps overwriting"),
    ],
)
def test_a_rival_writer_is_named_and_left_alone(
    place: Place, start: Start, dsn: str, conn: Connection, *, manager: str, told_of: str
) -> None:
    enqueue(conn, 500)
    place.apply(deployment(), queue_worker(), secret(dsn))
    start()
    wait_until(lambda: place.replicas() > 1, within_s=15, what="scaled")

    for _ in range(3):
        wait_until(lambda: place.replicas() > 1, within_s=15, what="scaled again")
        place.kubectl("patch", "deployment/mail-worker", *ONE_REPLICA, f"--field-manager={manager}")
    told = place.await_condition("Conflicted", "RivalWriter")

    assert told["message"].startswith(told_of)
    assert place.replicas() == 1
