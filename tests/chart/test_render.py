"""What the chart installs."""

import os
import tomllib

import pytest
import yaml
from tests.support.chart import CHART, CI_VALUES, ROOT, named, pod_specs, render
from tests.support.helm import HELM_3, HELM_4, HelmRelease, run_helm

MIGRATE = ("--set", "migrate.secretRef.name=mail-db-owner")


@pytest.mark.parametrize("release", [HELM_4, HELM_3], ids=lambda release: release.version)
@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_the_chart_passes_the_strict_lint(values: os.PathLike[str], release: HelmRelease) -> None:
    done = run_helm("lint", "--strict", CHART, "--values", str(values), release=release)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_helm_3_renders_what_helm_4_renders(values: os.PathLike[str]) -> None:
    def key(body: dict[str, dict[str, str]]) -> tuple[str, str, str]:
        meta = body["metadata"]
        return str(body["kind"]), meta.get("namespace", ""), meta["name"]

    by_helm_4 = sorted(render("--values", str(values)), key=key)
    by_helm_3 = sorted(render("--values", str(values), release=HELM_3), key=key)

    assert by_helm_4
    assert by_helm_3 == by_helm_4


def test_every_optional_object_is_rendered_by_the_full_values() -> None:
    kinds = {body["kind"] for body in render("--values", CHART / "ci/everything-values.yaml")}

    assert kinds >= {
        "ConfigMap",
        "Job",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PodMonitor",
        "ServiceMonitor",
    }
    assert not {"Job", "NetworkPolicy", "PodDisruptionBudget"} & {b["kind"] for b in render()}


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_every_pod_is_restricted(values: os.PathLike[str]) -> None:
    specs = pod_specs(render("--values", str(values)))
    assert specs
    for name, spec in specs.items():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] == 65532, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            own_user = dict.fromkeys(("runAsUser", "runAsGroup"), 999)
            context = {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            if container["name"] == "postgres":
                context |= own_user
            assert container["securityContext"] == context, name
            assert container["resources"]["limits"]["memory"], name


def test_only_the_operator_and_the_demos_load_get_an_accounts_token() -> None:
    specs = pod_specs(render(*MIGRATE, "--set", "demo.enabled=true"))

    tokens = {name: spec["automountServiceAccountToken"] for name, spec in specs.items()}

    assert tokens == {
        "Deployment/queueworker": True,
        "Deployment/queueworker-demo": False,
        "Deployment/queueworker-demo-load": True,
        "Deployment/queueworker-demo-postgres": False,
        "Deployment/queueworker-test": False,
        "Job/queueworker-migrate": False,
        "Pod/queueworker-test": False,
    }


def test_the_operator_is_told_its_namespaces_and_itself() -> None:
    container = pod_specs(render())["Deployment/queueworker"]["containers"][0]

    assert container["command"] == [
        "queueworker-operator",
        "run",
        "--namespace=mail",
        "--leader-namespace=mail",
        "--port=8080",
    ]
    assert {
        entry["name"]: entry["valueFrom"]["fieldRef"]["fieldPath"] for entry in container["env"]
    } == {
        "POD_ID": "metadata.name",
        "QUEUEWORKER_OPERATOR_POD_NAME": "metadata.name",
    }
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]


def test_cluster_scope_watches_all_namespaces() -> None:
    container = pod_specs(render("--set", "scope=Cluster"))["Deployment/queueworker"]["containers"][
        0
    ]

    assert "--all-namespaces" in container["command"]
    assert not [word for word in container["command"] if word.startswith("--namespace")]


def test_a_digest_pins_the_image_and_a_tag_replaces_the_version() -> None:
    digest = "sha256:" + "0" * 64

    def image(*arguments: str) -> str:
        return str(
            pod_specs(render(*arguments))["Deployment/queueworker"]["containers"][0]["image"]
        )

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert image() == f"queueworker-operator:{version}"
    assert image("--set-string", "image.tag=7") == "queueworker-operator:7"
    assert image("--set", f"image.digest={digest}") == f"queueworker-operator@{digest}"


def test_the_schema_job_runs_as_the_owner_and_only_when_asked() -> None:
    job = named(render(*MIGRATE), "Job")
    container = job["spec"]["template"]["spec"]["containers"][0]

    assert container["command"] == ["queueworker", "migrate", "--create-roles"]
    assert container["image"].startswith("queueworker:")
    assert container["env"] == [
        {
            "name": "QUEUEWORKER_DSN",
            "valueFrom": {"secretKeyRef": {"name": "mail-db-owner", "key": "dsn"}},
        }
    ]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,pre-upgrade"
    assert "Job" not in {body["kind"] for body in render()}


def test_spread_constraints_choose_the_operators_pods() -> None:
    objects = render("--values", CHART / "ci/everything-values.yaml")
    deployment = named(objects, "Deployment", "queueworker")
    constraint = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0]

    assert constraint["labelSelector"] == deployment["spec"]["selector"]
    assert constraint["topologyKey"] == "kubernetes.io/hostname"


def test_monitors_scrape_the_port_that_the_operator_serves() -> None:
    objects = render("--values", CHART / "ci/everything-values.yaml")
    service = named(objects, "Service", "queueworker")
    labels = named(objects, "Deployment", "queueworker")["spec"]["template"]["metadata"]["labels"]

    by_service = named(objects, "ServiceMonitor")["spec"]
    by_pod = named(objects, "PodMonitor", "queueworker")["spec"]

    assert by_service["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"] == "http"
    assert by_pod["podMetricsEndpoints"][0]["path"] == "/metrics"
    for selector in (by_service["selector"]["matchLabels"], by_pod["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
        assert selector.items() <= service["metadata"]["labels"].items()


@pytest.mark.helm_4_alone
def test_the_notes_give_the_next_command_filled_in() -> None:
    def notes(*arguments: str) -> str:
        install = ("install", "queueworker", CHART, "--namespace", "post", "--dry-run=client")
        done = run_helm(*install, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("NOTES:")[2]

    plain = notes()
    assert "kubectl apply --namespace post -f examples/mail/" in plain
    assert "their own image, logins and Secrets: docs/howto/install.md, 3. and 4." in plain
    assert "kubectl rollout status deployment/queueworker --namespace post" in plain
    assert "queueworker migrate --create-roles" in plain
    assert "create secret generic reports-db" in notes("--set", "secretNames={reports-db}")
    assert "logs job/queueworker-migrate" in notes(*MIGRATE)
    demo = notes("--set", "demo.enabled=true")
    assert "kubectl rollout status deployment/queueworker --namespace post" in demo
    assert "kubectl get queueworkers --namespace post --watch" in demo
    for made_by_the_demo in ("queueworker migrate", "create secret", "kubectl apply"):
        assert made_by_the_demo not in demo


def test_the_chart_has_the_distributions_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert (chart["version"], chart["appVersion"]) == (version, version)
