"""What the operator writes into the status and into events."""

import json
import subprocess

import yaml
from tests.support.mail import Place, deployment, enqueue, queue_worker, secret
from tests.support.operator_process import (
    Start,
)
from tests.support.postgres import Connection
from tests.support.waiting import wait_until


def test_the_status_tells_the_decision_and_its_numbers(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 200)
    place.apply(deployment(), queue_worker(), secret(dsn))
    start()
    place.kubectl("wait", "--for=condition=Ready", "queueworker/mail", "--timeout=20s")
    events = wait_until(place.events, within_s=5, what="an event")

    status = place.get("queueworker", "mail")["status"]
    desired = place.replicas()
    assert status["backlog"]["ready"] == 200
    assert status["replicas"]["desired"] == status["replicas"]["current"] == desired > 0
    assert status["selector"] == "app=mail-worker"
    assert status["observedGeneration"] == 1
    assert len(events) == 1
    assert f"0->{desired}: 200 waiting" in events[0]["message"]
    assert place.kubectl("get", "queueworkers").split("\n")[1].split()[:3] == [
        "mail",
        "True",
        "Auto",
    ]


def test_an_invalid_resource_is_told_so_and_changes_nothing(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 200)
    place.apply(deployment(), secret(dsn), queue_worker(minReplicas=0))
    operator = start()
    place.await_condition("Ready", "AsExpected")
    before = place.replicas()
    definition = "customresourcedefinition/queueworkers.queueworker.dev"
    rules = json.loads(place.server.kubectl("get", definition, "-o", "json"))

    place.kubectl("delete", "queueworker", "mail")
    _relax(place, rules)
    try:
        place.apply(queue_worker(minReplicas=9, maxReplicas=3))
        told = place.await_condition("Ready", "InvalidSpec")
    finally:
        place.kubectl("delete", "queueworker", "mail")
        place.server.kubectl("replace", "-f", "-", stdin=json.dumps(_without_version(rules)))

    assert "spec.minReplicas 9 is more than spec.maxReplicas 3" in told["message"]
    assert place.replicas() == before
    assert operator.process.poll() is None


def _relax(place: Place, rules: dict[str, object]) -> None:
    """Take the cross-field rule out, as an older CRD may lack it."""
    loose = json.loads(json.dumps(_without_version(rules)))
    spec = loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["x-kubernetes-validations"]
    place.server.kubectl("replace", "-f", "-", stdin=json.dumps(loose))
    wait_until(lambda: _accepts_anything(place), within_s=20, what="the rule is gone", every_s=0.3)


def _accepts_anything(place: Place) -> bool:
    body = json.dumps(queue_worker("probe", minReplicas=9, maxReplicas=3))
    try:
        place.kubectl("create", "--dry-run=server", "-f", "-", stdin=body)
    except subprocess.CalledProcessError:
        return False
    return True


def _without_version(body: dict[str, object]) -> dict[str, object]:
    copy: dict[str, object] = json.loads(json.dumps(body))
    metadata = copy["metadata"]
    assert isinstance(metadata, dict)
    del metadata["resourceVersion"]
    return copy


def test_a_resource_made_anew_under_its_name_gets_a_status_of_its_own(
    place: Place, start: Start, dsn: str
) -> None:
    place.apply(deployment(), queue_worker(), secret(dsn))
    start()
    place.await_told("Ready")

    for _ in range(3):
        manifest = yaml.safe_dump(queue_worker())
        place.kubectl("replace", "--force", "--wait=false", "-f", "-", stdin=manifest)
        assert place.await_told("Ready")


def test_a_reason_to_worry_is_an_event_also_without_a_change_of_replicas(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    enqueue(conn, 500)
    place.apply(deployment(replicas=2), queue_worker(maxReplicas=2), secret(dsn))
    start()
    place.await_told("Ready")

    [event] = wait_until(place.events, within_s=15, what="an event")

    assert (event["reason"], event["type"]) == ("MaxReplicas", "Warning")
    assert "maxReplicas is 2" in event["message"]
    assert place.replicas() == 2


def test_a_healthy_start_warns_of_nothing(
    place: Place, start: Start, dsn: str, conn: Connection
) -> None:
    place.apply(deployment(replicas=1), queue_worker(minReplicas=1), secret(dsn))
    start()
    told = place.await_condition("Ready", "WaitingForFirstSample")
    assert "the 1 replica is held" in told["message"]

    enqueue(conn, 1)
    place.await_condition("Ready", "AsExpected")

    assert [event["message"] for event in place.events() if event["type"] == "Warning"] == []


def test_an_outage_at_the_start_is_warned_of_at_once(place: Place, start: Start) -> None:
    place.apply(deployment(replicas=1), queue_worker(), secret("host=127.0.0.1 port=1 dbname=x"))
    start()

    [event] = wait_until(place.events, within_s=15, what="an event")

    assert (event["reason"], event["type"]) == ("MetricsUnavailable", "Warning")
