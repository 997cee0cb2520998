"""The chart and the examples as a real API server sees them: accepted, restricted, least rights."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.support.chart import CHART, DEFINITION, ROOT, pod_specs, render
from tests.support.controlplane import ApiServer

ACCOUNT = "system:serviceaccount:mail:queueworker"
RESTRICTED = "pod-security.kubernetes.io"
EXAMPLES = sorted(
    path
    for path in ROOT.glob("examples/**/*.yaml")
    if "kind" in (next(iter(yaml.safe_load_all(path.read_text())), None) or {})
)
GRANTED = [
    ("list", "queueworkers.queueworker.dev"),
    ("watch", "queueworkers.queueworker.dev"),
    ("patch", "queueworkers.queueworker.dev/status"),
    ("watch", "deployments.apps"),
    ("get", "deployments.apps/scale"),
    ("patch", "deployments.apps/scale"),
    ("watch", "pods"),
    ("patch", "pods"),
    ("create", "events"),
    ("get", "secrets:mail-db"),
    ("create", "leases.coordination.k8s.io"),
    ("update", "leases.coordination.k8s.io:queueworker-operator"),
]
NOT_GRANTED = [
    ("list", "secrets"),
    ("watch", "secrets"),
    ("get", "secrets"),
    ("get", "secrets:other"),
    ("patch", "deployments.apps"),
    ("update", "deployments.apps/scale"),
    ("patch", "queueworkers.queueworker.dev"),
    ("delete", "queueworkers.queueworker.dev"),
    ("delete", "pods"),
    ("create", "pods"),
    ("create", "pods/exec"),
    ("update", "leases.coordination.k8s.io:other"),
    ("delete", "leases.coordination.k8s.io:queueworker-operator"),
    ("list", "namespaces"),
    ("list", "customresourcedefinitions.apiextensions.k8s.io"),
]
INSTALLS = {
    "defaults": (),
    "cluster": ("--values", CHART / "ci/cluster-values.yaml"),
    "demo": ("--values", CHART / "ci/demo-values.yaml"),
    # without the kinds that only the Prometheus operator defines
    "everything": (
        *("--values", CHART / "ci/everything-values.yaml"),
        *("--set", "serviceMonitor.enabled=false,podMonitor.enabled=false"),
        *("--set", "workerMonitor.enabled=false,prometheusRule.enabled=false"),
    ),
}


@pytest.fixture(scope="module")
def server(crd: ApiServer) -> Iterator[ApiServer]:
    """Give the namespaces `mail` and `reports`, which admit nothing but restricted pods."""
    levels = [f"{RESTRICTED}/{mode}=restricted" for mode in ("enforce", "warn")]
    for name in ("mail", "reports"):
        crd.kubectl("create", "namespace", name)
        crd.kubectl("label", "namespace", name, *levels)
    yield crd
    crd.kubectl("delete", "namespace", "mail", "reports", "--wait=false")


def dry_run(server: ApiServer, objects: list[dict[str, Any]], namespace: str = "mail") -> list[str]:
    """Let the API server judge the objects; a warning is an error too."""
    done = server.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"),
        *("--warnings-as-errors", "-n", namespace, "-f", "-"),
        stdin=yaml.safe_dump_all(objects),
    )
    return done.splitlines()


@pytest.mark.parametrize("install", INSTALLS.values(), ids=INSTALLS)
def test_the_api_server_takes_every_object_of_the_chart(
    server: ApiServer, install: tuple[str, ...]
) -> None:
    objects = render(*install)
    namespaced = [body for body in objects if body["metadata"].get("namespace") != "reports"]
    elsewhere = [body for body in objects if body["metadata"].get("namespace") == "reports"]

    taken = dry_run(server, namespaced)
    if elsewhere:
        taken += dry_run(server, elsewhere, "reports")

    assert len(taken) == len(objects) > 5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_api_server_takes_every_example(server: ApiServer, path: Any) -> None:
    objects = [body for body in yaml.safe_load_all(path.read_text()) if body]

    assert len(dry_run(server, objects, "default")) == len(objects)


def pods_of_the_project() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the pod specs of the chart with all its parts, and of the mail example."""
    yield from pod_specs(render(*INSTALLS["everything"], "--set", "demo.enabled=true")).items()
    example = yaml.safe_load((ROOT / "examples/mail/deployment.yaml").read_text())
    yield from pod_specs([example]).items()


def test_every_pod_is_admitted_where_only_restricted_ones_are(server: ApiServer) -> None:
    names = []
    for name, spec in pods_of_the_project():
        names.append(name)
        spec.pop("priorityClassName", None)  # its admission wants the cluster's own namespace
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
        dry_run(server, [pod])
        spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        with pytest.raises(subprocess.CalledProcessError) as refused:
            dry_run(server, [pod])
        assert 'violates PodSecurity "restricted' in refused.value.stderr
    assert sorted(names) == [
        "Deployment/mail-worker",
        "Deployment/queueworker",
        "Deployment/queueworker-demo",
        "Deployment/queueworker-demo-load",
        "Deployment/queueworker-demo-postgres",
        "Deployment/queueworker-test",
        "Job/queueworker-migrate",
        "Pod/queueworker-test",
    ]


def parted(text: str) -> dict[str, str]:
    """Read `resource.group/subresource:name`; only the resource must be there."""
    rest, _, name = text.partition(":")
    rest, _, subresource = rest.partition("/")
    resource, _, group = rest.partition(".")
    return {"resource": resource, "group": group, "subresource": subresource, "name": name}


def allowed(server: ApiServer, verb: str, text: str, namespace: str) -> bool:
    """Ask the API server's authorizer about the operator's account."""
    question = {"verb": verb, **parted(text), "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "resourceAttributes": question},
    }
    answer = server.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review))
    return bool(json.loads(answer)["status"]["allowed"])


@pytest.fixture
def installed(server: ApiServer) -> Iterator[ApiServer]:
    """Install the chart's roles for namespace `mail`, with one named Secret."""
    kinds = {"Role", "RoleBinding", "ServiceAccount"}
    objects = [body for body in render("--set", "secretNames={mail-db}") if body["kind"] in kinds]
    text = yaml.safe_dump_all(objects)
    server.kubectl("apply", "-f", "-", stdin=text)
    yield server
    server.kubectl("delete", "-f", "-", stdin=text)


def test_the_authorizer_grants_what_the_operator_does_and_nothing_near_it(
    installed: ApiServer,
) -> None:
    for verb, what in GRANTED:
        assert allowed(installed, verb, what, "mail"), (verb, what)
        assert not allowed(installed, verb, what, "reports"), (verb, what)
    for verb, what in NOT_GRANTED:
        assert not allowed(installed, verb, what, "mail"), (verb, what)
        assert not allowed(installed, verb, what, ""), (verb, what)


def test_an_upgrade_takes_the_definition_of_the_chart_over_the_one_applied_by_hand(
    server: ApiServer,
) -> None:
    definition = yaml.safe_load(DEFINITION.read_text())

    assert len(dry_run(server, [definition])) == 1
