"""One-machine mode reads the cluster's own manifests, and says in one line what it cannot use."""

import base64
from pathlib import Path
from textwrap import dedent

import pytest

from queueworker_operator.errors import InvalidResource
from queueworker_operator.local.command import Machine, command_of
from queueworker_operator.local.manifests import read_manifests

MACHINE = Machine(
    dsn="host=/run/pg dbname=jobs", node="here", environment={"PATH": "/bin", "TOKEN": "t0"}
)
DEPLOYMENT = """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: mail-worker}
    spec:
      template:
        spec:
          terminationGracePeriodSeconds: 7
          containers:
            - name: worker
              image: mail:1
              command: [queueworker, worker]
              args: [--app, "tasks:app", --concurrency, "$(SLOTS)"]
              env:
                - {name: SLOTS, value: "4"}
"""
QUEUE_WORKER = """
    apiVersion: queueworker.dev/v1alpha1
    kind: QueueWorker
    metadata: {name: mail}
    spec:
      scaleTargetRef: {kind: Deployment, name: mail-worker}
      queues: [mail]
      database: {secretRef: {name: mail-db}}
      startWithin: 20s
      maxReplicas: 5
"""


def write(folder: Path, *documents: str) -> Path:
    (folder / "all.yaml").write_text("\n---\n".join(map(dedent, documents)))
    return folder


def with_env(*entries: str) -> str:
    lines = "".join(f"                - {entry}\n" for entry in entries)
    return DEPLOYMENT.rstrip(" ") + lines


def refusal(folder: Path) -> str:
    with pytest.raises(InvalidResource) as caught:
        read_manifests(folder)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_queueworker_finds_its_deployment_and_its_promise(tmp_path: Path) -> None:
    (workload,) = read_manifests(write(tmp_path, DEPLOYMENT, QUEUE_WORKER)).workloads

    assert workload.resource.key == "default/mail"
    assert workload.policy.start_within_s == 20.0
    assert workload.policy.max_replicas == 5


def test_the_slots_come_from_the_pod_template(tmp_path: Path) -> None:
    deployment = DEPLOYMENT.replace('"$(SLOTS)"', '"4"')
    (workload,) = read_manifests(write(tmp_path, deployment, QUEUE_WORKER)).workloads

    assert workload.policy.default_slots == 4


def test_what_has_no_meaning_on_one_machine_is_named(tmp_path: Path) -> None:
    deployment = DEPLOYMENT.replace("image: mail:1", "image: mail:1\n              resources: {}")
    secret = "kind: Secret\nmetadata: {name: mail-db}"

    assert read_manifests(write(tmp_path, deployment, QUEUE_WORKER, secret)).ignored == (
        "Secret",
        "resources",
    )


def test_the_command_runs_with_the_local_database_and_a_free_port(tmp_path: Path) -> None:
    deployment = with_env(
        "{name: QUEUEWORKER_DSN, valueFrom: {secretKeyRef: {name: other, key: dsn}}}",
        "{name: DATABASE_URL, valueFrom: {secretKeyRef: {name: mail-db, key: dsn}}}",
        "{name: QUEUEWORKER_PORT, value: '8080'}",
        "{name: ME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}",
        "{name: SPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}",
        "{name: TOKEN, valueFrom: {secretKeyRef: {name: tokens, key: t}}}",
    )
    (workload,) = read_manifests(write(tmp_path, deployment, QUEUE_WORKER)).workloads

    command = command_of(workload, "mail-worker-1", tmp_path, MACHINE)

    assert command.words == ("queueworker", "worker", "--app", "tasks:app", "--concurrency", "4")
    assert {name: command.environment[name] for name in ("ME", "SPACE", "TOKEN")} == {
        "ME": "mail-worker-1",
        "SPACE": "default",
        "TOKEN": "t0",
    }
    assert command.environment["QUEUEWORKER_DSN"] == MACHINE.dsn
    assert command.environment["DATABASE_URL"] == MACHINE.dsn
    assert command.environment["QUEUEWORKER_PORT"] == "0"
    assert command.environment["QUEUEWORKER_POD_NAME"] == "mail-worker-1"
    assert command.environment["PYTHONPATH"] == str(tmp_path)


def test_a_secret_that_is_not_here_is_asked_for(tmp_path: Path) -> None:
    deployment = with_env("{name: KEY, valueFrom: {secretKeyRef: {name: keys, key: k}}}")
    (workload,) = read_manifests(write(tmp_path, deployment, QUEUE_WORKER)).workloads

    with pytest.raises(InvalidResource, match="export KEY before you start"):
        command_of(workload, "mail-worker-1", tmp_path, MACHINE)


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ((DEPLOYMENT,), "holds no QueueWorker manifest"),
        ((QUEUE_WORKER,), "scales Deployment mail-worker, which is not in this folder"),
        (
            (DEPLOYMENT, QUEUE_WORKER.replace("20s", "soon")),
            "QueueWorker mail: spec.startWithin 'soon' is not a",
        ),
        ((DEPLOYMENT.replace("command:", "unknown:"), QUEUE_WORKER), "gives no command"),
        ((DEPLOYMENT.replace("- name: worker", "- just text #"), QUEUE_WORKER), "YAML"),
        ((DEPLOYMENT.replace("{name: SLOTS", "{nam: SLOTS"), QUEUE_WORKER), "without a name"),
        ((DEPLOYMENT, QUEUE_WORKER, QUEUE_WORKER.replace("mail}", "b}")), "the same Deployment"),
        (("a: [",), "all.yaml is not readable as YAML (line"),
        (("just text",), "all.yaml is no manifest"),
        (("kind: Deployment",), "without metadata.name"),
        (("kind: Deployment\nmetadata: {name: mail-worker}\nspec: 5", QUEUE_WORKER), "not shaped"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, documents: tuple[str, ...], expected: str
) -> None:
    assert expected in refusal(write(tmp_path, *documents))


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "is not a folder" in refusal(tmp_path / "nowhere")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(base64.b64decode("/////w=="))

    assert "a.yaml is not readable as YAML" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("startWithin:", "startsWithin:", "spec.startsWithin is not a field: did you mean startW"),
        (
            "maxReplicas:",
            "maxReplica:",
            "spec.maxReplica is not a field: did you mean maxReplicas?",
        ),
        ("maxReplicas:", "colour:", "spec.colour is not a field: remove it"),
        ("v1alpha1", "v1", "apiVersion must be queueworker.dev/v1alpha1"),
    ],
)
def test_a_misspelt_field_is_refused_as_the_api_server_would(
    tmp_path: Path, right: str, wrong: str, said: str
) -> None:
    assert said in refusal(write(tmp_path, DEPLOYMENT, QUEUE_WORKER.replace(right, wrong)))
