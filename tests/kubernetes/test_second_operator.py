"""Two releases of the chart, each with its Lease, over one namespace: both notice, and say so."""

import uuid
from functools import partial
from pathlib import Path

import pytest
import yaml
from tests.support.chart import render
from tests.support.controlplane import ApiServer
from tests.support.judge import Judge
from tests.support.mail import Place, deployment, queue_worker, secret
from tests.support.operator_process import (
    ACCOUNT_KINDS,
    Operator,
    grant,
    kubeconfig_of_account,
    running_operator,
)
from tests.support.waiting import wait_until

TOLD_WITHIN_S = 60.0


@pytest.fixture
def place(crd: ApiServer, namespace: str) -> Place:
    grant(crd, namespace)
    return Place(server=crd, namespace=namespace)


@pytest.fixture
def second(crd: ApiServer, place: Place, tmp_path: Path) -> tuple[str, Path]:
    """Give the namespace of a second release that serves the first one's too, and its kubeconfig."""
    name = f"second-{uuid.uuid4().hex[:8]}"
    crd.kubectl("create", "namespace", name)
    values = (
        "rbac.aggregateRoles=false",
        f"watchNamespaces={{{place.namespace}}}",
        "fullnameOverride=second",  # one of the same name would take the first one's Role away
        "serviceAccount.name=queueworker",
    )
    rendered = render("--namespace", name, *(word for value in values for word in ("--set", value)))
    objects = [body for body in rendered if body["kind"] in ACCOUNT_KINDS]
    crd.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))
    folder = tmp_path / "second"
    folder.mkdir()
    return name, kubeconfig_of_account(crd, name, folder)


def leads(operator: Operator) -> bool:
    return "queueworker_leader 1.0" in operator.get("/metrics")[1]


def test_each_of_two_operators_tells_of_the_other(
    place: Place,
    second: tuple[str, Path],
    judge: Judge,
    dsn: str,
    tmp_path: Path,
) -> None:
    other, other_kubeconfig = second
    place.apply(deployment(), queue_worker(maxReplicas=3), secret(dsn))
    kubeconfig = kubeconfig_of_account(place.server, place.namespace, tmp_path)
    elsewhere = {
        "QUEUEWORKER_OPERATOR_NAMESPACES": place.namespace,
        "QUEUEWORKER_OPERATOR_LEADER_NAMESPACE": other,
    }

    def told() -> list[str]:
        return [event["message"] for event in place.events() if event["reason"] == "SecondOperator"]

    with running_operator(judge, kubeconfig, tmp_path / "first.log") as first:
        place.await_told("Ready")
        assert told() == []
        with running_operator(
            judge, other_kubeconfig, tmp_path / "second.log", environ=elsewhere
        ) as later:
            for operator in (first, later):
                wait_until(partial(leads, operator), within_s=TOLD_WITHIN_S, what="it leads")
            for count in (1, 2, 3):
                place.kubectl("scale", "queueworker/mail", f"--replicas={count}")
                place.await_replicas(count)

            messages = wait_until(
                lambda: found if len(found := told()) >= 2 else None,
                within_s=TOLD_WITHIN_S,
                what="both have told",
            )
            logs = [operator.log.read_text() for operator in (first, later)]

    assert all(place.namespace in text and other in text for text in messages)
    assert all("serve this QueueWorker, and both scale" in log for log in logs)
