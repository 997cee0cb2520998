"""The demo and `helm test`: throw-away databases, least rights, nothing left of them in the defaults."""

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml
from tests.support.chart import (
    CHART,
    DEFINITION,
    HelmFailed,
    named,
    pod_specs,
    render,
    render_text,
    rights,
)

DEMO = ("--set", "demo.enabled=true")
HOOK = "helm.sh/hook"
PASSWORD = re.compile(r"://(\w+):(\w+)@")


def of_test(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [body for body in objects if body["metadata"].get("annotations", {}).get(HOOK) == "test"]


def environment(container: dict[str, Any]) -> dict[str, str]:
    """Give the Secrets' keys that a container reads, by variable."""
    references = {
        entry["name"]: entry["valueFrom"].get("secretKeyRef", {})
        for entry in container["env"]
        if "valueFrom" in entry
    }
    return {name: f"{ref['name']}:{ref['key']}" for name, ref in references.items() if ref}


def test_no_part_of_the_demo_is_there_unless_asked() -> None:
    with_it, without = (
        {f"{body['kind']}/{body['metadata']['name']}" for body in render(*values)}
        for values in (DEMO, ())
    )

    assert [name for name in without if "demo" in name] == []
    assert {name for name in with_it - without if "queueworker-demo" not in name} == set()
    assert len(with_it - without) == 11


def test_helm_test_brings_all_that_it_needs_and_takes_it_away_again() -> None:
    found = of_test(render())

    assert {f"{body['kind']}/{body['metadata']['name']}" for body in found} == {
        "ConfigMap/queueworker-test-code",
        "Deployment/queueworker-test",
        "Pod/queueworker-test",
        "QueueWorker/queueworker-test",
        "Secret/queueworker-test-db",
        "Secret/queueworker-test-owner-db",
        "Secret/queueworker-test-worker-db",
        "Service/queueworker-test-postgres",
    }
    for body in found:
        policy = body["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation,hook-succeeded", body["metadata"]["name"]
    weights = {b["kind"]: int(b["metadata"]["annotations"]["helm.sh/hook-weight"]) for b in found}
    assert weights.pop("Pod") > max(weights.values())


def test_helm_test_starts_from_no_pod_and_may_not_add_one() -> None:
    objects = render()

    assert named(of_test(objects), "Deployment")["spec"]["replicas"] == 0
    assert pod_specs(objects)["Pod/queueworker-test"]["automountServiceAccountToken"] is False
    assert not {"Role", "RoleBinding"} & {body["kind"] for body in of_test(objects)}


@pytest.mark.parametrize("part", ["test", "demo"])
def test_the_operator_may_read_the_throw_away_secret_where_it_may_read_named_ones_alone(
    part: str,
) -> None:
    objects = render(*DEMO, "--set", "secretNames={mail-db}")
    role = named(objects, "Role", f"queueworker-{part}-db")
    binding = named(objects, "RoleBinding", f"queueworker-{part}-db")

    assert rights(role) == {f"secrets:queueworker-{part}-db": {"get"}}
    assert binding["subjects"][0]["name"] == "queueworker"


def test_they_live_where_the_operator_serves_queueworkers() -> None:
    def namespaces(*values: str) -> set[str]:
        objects = render(*DEMO, *values)
        names = ("queueworker-demo", "queueworker-test")
        return {b["metadata"]["namespace"] for b in objects if b["metadata"]["name"] in names}

    assert namespaces() == {"mail"}
    assert namespaces("--set", "scope=Cluster") == {"mail"}
    assert namespaces("--set", "watchNamespaces={other,mail}") == {"mail"}
    assert namespaces("--set", "watchNamespaces={a,b}") == {"a"}


def test_each_pod_of_the_demo_reads_only_its_own_connection_string() -> None:
    specs = pod_specs(render(*DEMO))
    worker, load, server = (
        environment(specs[f"Deployment/queueworker-demo{part}"]["containers"][0])
        for part in ("", "-load", "-postgres")
    )

    assert worker == {"QUEUEWORKER_DSN": "queueworker-demo-worker-db:dsn"}
    assert server == {"POSTGRES_PASSWORD": "queueworker-demo-owner-db:password"}
    assert load == {
        "QUEUEWORKER_DSN": "queueworker-demo-owner-db:dsn",
        "WORKER_DSN": "queueworker-demo-worker-db:dsn",
        "OPERATOR_DSN": "queueworker-demo-db:dsn",
    }


def test_every_password_is_random_and_another_one() -> None:
    once, again = (set(PASSWORD.findall(render_text(*DEMO))) - {("USER", "PASSWORD")} for _ in "ab")

    assert len({password for _, password in once}) == 6
    assert once & again == set()


def test_the_load_may_make_one_promise_and_read_one_deployment() -> None:
    own = {
        "queueworkers.queueworker.dev": {"create"},
        "queueworkers.queueworker.dev:queueworker-demo": {"patch"},
        "deployments.apps:queueworker-demo": {"get"},
    }
    asked_by_the_policy = {
        "deployments/scale.apps:queueworker-demo": {"patch"},
        "secrets:queueworker-demo-db": {"get"},
    }

    def granted(*values: str) -> dict[str, set[str]]:
        return rights(named(render(*DEMO, *values), "Role", "queueworker-demo-load"))

    assert granted() == own
    assert granted("--set", "admissionPolicy.enabled=true") == own | asked_by_the_policy
    with pytest.raises(HelmFailed, match=r"demo\.enabled needs rbac\.create"):
        render(*DEMO, "--set", "rbac.create=false")


def test_both_promises_are_valid_and_scale_the_deployment_beside_them() -> None:
    version = yaml.safe_load(DEFINITION.read_text())["spec"]["versions"][0]
    objects = render(*DEMO)
    code = named(objects, "ConfigMap", "queueworker-demo-code")["data"]
    promises = [json.loads(code["queueworker.json"]), named(objects, "QueueWorker")]

    for promise in promises:
        jsonschema.validate(promise, version["schema"]["openAPIV3Schema"])
        name = promise["metadata"]["name"]
        target = named(objects, "Deployment", promise["spec"]["scaleTargetRef"]["name"])
        assert target["metadata"]["name"] == name
        assert named(objects, "Secret", promise["spec"]["database"]["secretRef"]["name"])
    assert "replicas" not in named(objects, "Deployment", "queueworker-demo")["spec"]


def test_the_programs_are_mounted_as_they_are_in_the_chart() -> None:
    objects = render(*DEMO)
    folder = CHART / "files/throwaway"

    for name in ("queueworker-demo-code", "queueworker-test-code"):
        code = named(objects, "ConfigMap", name)["data"]
        scripts = {file: text for file, text in code.items() if file.endswith(".py")}
        assert scripts
        for file, text in scripts.items():
            assert text.rstrip() == (folder / file).read_text().rstrip()


def test_the_burst_is_what_the_values_say() -> None:
    objects = render(*DEMO, "--set", "demo.burst.jobs=7,demo.burst.everySeconds=9")
    container = pod_specs(objects)["Deployment/queueworker-demo-load"]["containers"][0]
    given = {entry["name"]: entry.get("value") for entry in container["env"]}

    assert (given["BURST_JOBS"], given["BURST_EVERY_SECONDS"]) == ("7", "9")
