"""The example's manifests are what the documentation says of them."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import DEFINITION, ROOT, named

MAIL = ROOT / "examples" / "mail"


def objects_of(folder: Path) -> list[dict[str, Any]]:
    return [
        body
        for path in sorted(folder.glob("*.yaml"))
        for body in yaml.safe_load_all(path.read_text())
    ]


@pytest.fixture
def container() -> dict[str, Any]:
    spec = named(objects_of(MAIL), "Deployment")["spec"]["template"]["spec"]
    assert len(spec["containers"]) == 1
    return dict(spec["containers"][0])


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") or entry["valueFrom"] for entry in container["env"]}


def test_applying_the_folder_overwrites_no_secret_and_names_no_namespace() -> None:
    objects = objects_of(MAIL)

    assert sorted(body["kind"] for body in objects) == ["Deployment", "QueueWorker"]
    assert not [body for body in objects if "namespace" in body["metadata"]]


def test_the_operator_alone_writes_the_replicas() -> None:
    assert "replicas" not in named(objects_of(MAIL), "Deployment")["spec"]


def test_the_queueworker_scales_the_deployment_beside_it() -> None:
    objects = objects_of(MAIL)
    spec = named(objects, "QueueWorker")["spec"]

    assert spec["scaleTargetRef"]["name"] == named(objects, "Deployment")["metadata"]["name"]
    fields = yaml.safe_load(DEFINITION.read_text())["spec"]["versions"][0]["schema"]
    assert spec.keys() <= fields["openAPIV3Schema"]["properties"]["spec"]["properties"].keys()


def test_both_secrets_are_the_ones_of_the_example(container: dict[str, Any]) -> None:
    secrets = {
        body["metadata"]["name"]: body["stringData"] for body in objects_of(MAIL / "secrets")
    }
    worker = variables(container)["QUEUEWORKER_DSN"]["secretKeyRef"]
    operator = named(objects_of(MAIL), "QueueWorker")["spec"]["database"]["secretRef"]["name"]

    assert worker["key"] in secrets[worker["name"]]
    assert "dsn" in secrets[operator]
    assert worker["name"] != operator


def test_the_pod_tells_its_name_is_ready_soon_and_may_finish_its_jobs(
    container: dict[str, Any],
) -> None:
    pod = named(objects_of(MAIL), "Deployment")["spec"]["template"]["spec"]
    given = variables(container)

    for part in ("name", "namespace", "uid"):
        field = {"fieldRef": {"fieldPath": f"metadata.{part}"}}
        assert given[f"QUEUEWORKER_POD_{part.upper()}"] == field
    assert container["readinessProbe"]["periodSeconds"] == 1
    assert pod["terminationGracePeriodSeconds"] > int(given["QUEUEWORKER_GRACE_S"])


def test_the_command_runs_the_example_s_tasks_from_its_queue(container: dict[str, Any]) -> None:
    command = container["command"]
    assert command[:4] == ["queueworker", "worker", "--app", "tasks:app"]
    queue = command[command.index("--queue") + 1]
    assert named(objects_of(MAIL), "QueueWorker")["spec"]["queues"] == [queue]

    specification = importlib.util.spec_from_file_location("mail_tasks", MAIL / "tasks.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["mail_tasks"] = module  # annotations are looked up there
    try:
        specification.loader.exec_module(module)
        job = module.send_mail(to="a@example.org", subject="hi")
    finally:
        del sys.modules["mail_tasks"]

    assert (job.queue, job.args) == (queue, {"to": "a@example.org", "subject": "hi"})
    assert job.timeout_s < int(variables(container)["QUEUEWORKER_GRACE_S"])
