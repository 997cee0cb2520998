"""Options of the chart that each have one place: what they change, and nothing else."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.support.chart import CHART, CI_VALUES, DEFINITION, named, pod_specs, render
from tests.support.pages import block_of

EVERYTHING = next(path for path in CI_VALUES if "everything" in path.name)


@pytest.fixture
def everything() -> list[dict[str, Any]]:
    return render("--values", EVERYTHING)


def test_extra_objects_are_rendered_as_templates(everything: list[dict[str, Any]]) -> None:
    extra = named(everything, "ConfigMap", "queueworker-extra")

    assert extra["data"] == {"release": "queueworker"}


def test_more_variables_reach_the_operator_beside_its_own() -> None:
    def names(*values: str) -> list[str]:
        operator = pod_specs(render(*values))["Deployment/queueworker"]["containers"][0]
        return [entry["name"] for entry in operator["env"]]

    more = json.dumps([{"name": "QUEUEWORKER_OPERATOR_LOG_FORMAT", "value": "text"}])

    assert names("--set-json", f"extraEnv={more}") == [*names(), "QUEUEWORKER_OPERATOR_LOG_FORMAT"]


@pytest.mark.parametrize("pod", ["Deployment/queueworker", "Job/queueworker-migrate"])
def test_the_page_about_managed_databases_gives_a_pod_the_providers_certificates(
    pod: str, tmp_path: Path
) -> None:
    values = tmp_path / "tls.yaml"
    values.write_text(block_of("docs/howto/managed-postgres.md", "migrate: {extraEnv").text)
    specs = pod_specs(render("--set", "migrate.secretRef.name=owner", "--values", values))

    [container] = specs[pod]["containers"]
    given = {entry["name"]: entry.get("value") for entry in container["env"]}
    volumes = {volume["name"]: volume for volume in specs[pod]["volumes"]}
    [mount] = [one for one in container["volumeMounts"] if volumes[one["name"]].get("configMap")]

    assert given["PGSSLMODE"] == "verify-full"
    assert given["PGSSLROOTCERT"] == f"{mount['mountPath']}/bundle.pem"
    assert volumes[mount["name"]]["configMap"]["name"] == "mail-db-ca"
    assert len(container["volumeMounts"]) == len(volumes) == 2


def test_a_scrape_may_be_bounded_and_its_labels_rewritten(everything: list[dict[str, Any]]) -> None:
    [endpoint] = named(everything, "ServiceMonitor")["spec"]["endpoints"]
    [plain] = named(everything, "PodMonitor", "queueworker")["spec"]["podMetricsEndpoints"]

    assert plain == {"port": "http", "path": "/metrics", "interval": "15s", "honorLabels": True}
    assert endpoint == plain | {
        "scrapeTimeout": "10s",
        "relabelings": [{"targetLabel": "cluster", "replacement": "blue"}],
        "metricRelabelings": [
            {"action": "drop", "sourceLabels": ["__name__"], "regex": "python_gc_.*"}
        ],
    }


def test_the_pods_are_replaced_as_the_strategy_says(everything: list[dict[str, Any]]) -> None:
    def strategy(objects: list[dict[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = named(objects, "Deployment", "queueworker")["spec"]["strategy"]
        return found

    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert strategy(render()) == rolling
    assert strategy(everything) == {"type": "Recreate"}


def test_deployment_and_service_bear_their_own_annotations(
    everything: list[dict[str, Any]],
) -> None:
    def annotations(kind: str) -> dict[str, str] | None:
        found: dict[str, str] | None = named(everything, kind, "queueworker")["metadata"].get(
            "annotations"
        )
        return found

    assert annotations("Deployment") == {"example.org/note": "deployment"}
    assert annotations("Service") == {"prometheus.io/scrape": "true"}


def test_a_budget_covers_the_operators_pods_and_lets_broken_ones_go(
    everything: list[dict[str, Any]],
) -> None:
    budget = named(everything, "PodDisruptionBudget")["spec"]

    assert budget["selector"] == named(everything, "Deployment", "queueworker")["spec"]["selector"]
    assert budget["maxUnavailable"] == "50%"
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_the_operator_can_be_put_before_others_and_into_a_user_namespace(
    everything: list[dict[str, Any]],
) -> None:
    spec = pod_specs(everything)["Deployment/queueworker"]
    plain = pod_specs(render())["Deployment/queueworker"]

    assert (spec["priorityClassName"], spec["hostUsers"]) == ("system-cluster-critical", False)
    assert not {"priorityClassName", "hostUsers"} & plain.keys()


def test_artifact_hub_is_told_of_the_operator_its_kind_and_a_valid_example() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    told = {key.removeprefix("artifacthub.io/"): text for key, text in chart["annotations"].items()}
    definition = yaml.safe_load(DEFINITION.read_text())
    version = definition["spec"]["versions"][0]
    (kind,) = yaml.safe_load(told["crds"])

    assert (told["operator"], told["license"]) == ("true", "Apache-2.0")
    assert told["operatorCapabilities"] in {
        *("Basic Install", "Seamless Upgrades", "Full Lifecycle", "Deep Insights", "Auto Pilot")
    }
    assert kind["name"] == definition["metadata"]["name"]
    assert (kind["kind"], kind["version"]) == (definition["spec"]["names"]["kind"], version["name"])
    for change in yaml.safe_load(told["changes"]):
        assert change.keys() == {"kind", "description"}
        assert change["kind"] in {"added", "changed", "deprecated", "removed", "fixed", "security"}
    for example in yaml.safe_load(told["crdsExamples"]):
        jsonschema.validate(example, version["schema"]["openAPIV3Schema"])
