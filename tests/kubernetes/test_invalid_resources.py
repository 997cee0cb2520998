"""A wrong QueueWorker is refused by the API server itself, and what it cannot know becomes a condition."""

import copy
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import DEFINITION
from tests.support.controlplane import ApiServer
from tests.support.judge import Judge
from tests.support.mail import Place, deployment, queue_worker, secret
from tests.support.operator_process import grant, kubeconfig_of_account, running_operator

Body = dict[str, Any]
HERE = Path(__file__).parent
CORPUS: list[Body] = yaml.safe_load((HERE / "invalid_queueworkers.yaml").read_text())
WINDOW = {"cron": "0 8 * * 1-5", "minReplicas": 5, "duration": "10h"}
ON_UPDATE = "scaleTargetRef cannot be changed: "  # there is nothing to change before


def invalid(case: Body) -> Body:
    """Give the resource that a line of the corpus describes."""
    body = queue_worker(maxReplicas=10, scaleTargetRef={"name": "mail-worker"})
    path = str(case.get("set") or case.get("remove"))
    if "schedule" in path:
        body["spec"]["schedule"] = [copy.deepcopy(WINDOW) for _ in range(case.get("repeat", 1))]
    *parents, last = [
        int(part) if part.isdecimal() else part for part in re.split(r"[.\[\]]+", path) if part
    ]
    place: Any = body
    for part in parents:
        place = place[part]
    if "remove" in case:
        del place[last]
    elif "times" in case:
        text, times = case["times"]
        place[last] = str(text) * times
    elif "to" in case:
        place[last] = case["to"]
    return body


def answer(server: ApiServer, body: Body) -> tuple[int, str]:
    """Ask the API server to create a resource, strictly and for show; give status and message."""
    path = "/apis/queueworker.dev/v1alpha1/namespaces/default/queueworkers"
    request = urllib.request.Request(  # noqa: S310 the API server of tests
        f"{server.url}{path}?dryRun=All&fieldValidation=Strict",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"},
    )
    trusted = ssl.create_default_context(cafile=str(server.certificate))
    try:
        with urllib.request.urlopen(request, timeout=20, context=trusted) as taken:  # noqa: S310
            return taken.status, taken.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, str(json.load(refused)["message"])


def title(case: Body) -> str:
    changed = case.get("set") or f"no {case['remove']}"
    return f"{CORPUS.index(case)}-{changed}={str(case.get('to', ''))[:14]!r}"


@pytest.mark.parametrize("case", CORPUS, ids=title)
def test_a_wrong_field_is_refused_by_its_name_and_with_the_remedy(
    crd: ApiServer, case: Body
) -> None:
    status, message = answer(crd, invalid(case))

    assert status in {400, 422}, message
    assert str(case.get("at") or case.get("set") or case["remove"]) in message
    assert case["told"] in message
    assert "rule evaluation error" not in message


def test_the_corpus_is_long_and_what_it_starts_from_is_taken(crd: ApiServer) -> None:
    assert len(CORPUS) >= 60
    assert answer(crd, invalid({"set": "spec"}))[0] == 201
    assert answer(crd, invalid({"set": "spec.schedule"}))[0] == 201


def rules(schema: Mapping[str, Any]) -> Iterator[str]:
    """Give the message of every rule below."""
    yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
    for field in schema.get("properties", {}).values():
        yield from rules(field)
    if "items" in schema:
        yield from rules(schema["items"])


def test_every_rule_refuses_something_of_the_corpus_and_says_what_to_write() -> None:
    version = yaml.safe_load(DEFINITION.read_text())["spec"]["versions"][0]
    found = list(rules(version["schema"]["openAPIV3Schema"]))

    untold = [text for text in found if not any(case["told"] in text for case in CORPUS)]
    assert len(found) > 15
    assert [text for text in untold if not text.startswith(ON_UPDATE)] == []
    for text in found:
        problem, _, remedy = text.partition(": ")
        assert problem
        assert remedy, text


# What only the operator can find out: condition, reason, a word of what is wrong, and of the remedy.
TOLD: dict[str, tuple[Body, str, str, tuple[str, str]]] = {
    "unknown-zone": (
        {"schedule": [WINDOW | {"timezone": "Mars/Olympus"}]},
        *("Ready", "InvalidSpec", ("'Mars/Olympus' is not a time zone", "such as Europe/Berlin")),
    ),
    "never": (
        {"schedule": [WINDOW | {"cron": "0 8 30 2 *"}]},
        *("Ready", "InvalidSpec", ("spec.schedule[0].cron", "write minute, hour")),
    ),
    "no-secret": (
        {"database": {"secretRef": {"name": "absent"}}},
        *("MetricsAvailable", "SecretNotFound", ("Secret absent does not exist", "create it")),
    ),
    "no-key": (
        {"database": {"secretRef": {"name": "mail-db", "key": "absent"}}},
        *("MetricsAvailable", "SecretInvalid", ("has no key absent", "add it")),
    ),
    "no-dsn": (
        {"database": {"secretRef": {"name": "mail-db", "key": "words"}}},
        *("MetricsAvailable", "MetricsUnavailable", ("cannot be parsed", "check the Secret")),
    ),
    "no-deployment": ({}, "Ready", "TargetMissing", ("does not exist", "scaleTargetRef")),
}


@pytest.fixture
def place(crd: ApiServer, namespace: str) -> Place:
    grant(crd, namespace)
    return Place(server=crd, namespace=namespace)


def test_what_the_api_server_cannot_know_becomes_a_condition_with_the_remedy(
    place: Place, dsn: str, judge: Judge, tmp_path: Path
) -> None:
    held = secret(dsn)
    held["stringData"]["words"] = "these are words"
    place.apply(held)
    for name, (spec, *_) in TOLD.items():
        if name != "no-deployment":
            place.apply(deployment(name))
        place.apply(queue_worker(name, scaleTargetRef={"name": name}, queues=[name], **spec))
    kubeconfig = kubeconfig_of_account(place.server, place.namespace, tmp_path)

    with running_operator(judge, kubeconfig, tmp_path / "log") as operator:
        for name, (_, kind, reason, words) in TOLD.items():
            told = place.await_condition(kind, reason, name=name)
            assert all(word in told["message"] for word in words), told["message"]
            assert place.condition("Ready", name)["status"] == "False"
        assert operator.process.poll() is None
    assert "Traceback" not in (tmp_path / "log").read_text()
