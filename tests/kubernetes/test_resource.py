"""Whatever status the operator builds, the API server takes, and shows it as conditions."""

from datetime import UTC, datetime

import pytest
from tests.support.controlplane import ApiServer
from tests.support.mail import Place, queue_worker

from queueworker_operator.decision.model import Decision, Policy, Reason, Replicas
from queueworker_operator.report import Fact, Report
from queueworker_operator.resource import Condition, Facts, parse, status_of


@pytest.fixture
def place(crd: ApiServer, namespace: str) -> Place:
    return Place(server=crd, namespace=namespace)


def test_a_stored_resource_is_read_with_the_definitions_defaults(place: Place) -> None:
    place.apply(queue_worker(maxReplicas=50, startWithin="2m"))

    spec = parse(place.get("queueworker", "mail"))

    assert spec.key == f"{place.namespace}/mail"
    assert spec.generation == 1
    assert spec.policy == Policy(start_within_s=120.0, min_replicas=0, max_replicas=50)
    assert (spec.secret_name, spec.secret_key) == ("mail-db", "dsn")


@pytest.mark.parametrize("fact", list(Fact))
def test_a_status_with_any_fact_is_taken_and_waited_for(place: Place, fact: Fact) -> None:
    place.apply(queue_worker())
    decision = Decision(desired=9, current=6, reason=Reason.BACKLOG, message="6->9: why")
    report = Report(
        policy=Policy(),
        generation=1,
        decision=decision,
        replicas=Replicas(current=6, ready=6, starting_ages_s=(1.0,)),
        facts={fact: "what to do"},
    )
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = status_of(Facts(generation=1, now=now, report=report, selector="app=mail"), {})

    place.patch_status("mail", status)

    stored = place.get("queueworker", "mail")["status"]
    assert stored == status  # nothing was pruned: every field is in the definition
    ready = next(entry for entry in status["conditions"] if entry["type"] == Condition.READY)
    wait = f"--for=condition=Ready={ready['status']}"
    place.kubectl("wait", wait, "queueworker/mail", "--timeout=5s")
