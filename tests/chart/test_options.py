"""Options of the chart that each have one place: what they change, and nothing else."""

import json
from typing import Any

import jsonschema
import pytest
import yaml
from tests.support.chart import CHART, CI_VALUES, DEFINITION, named, pod_specs, render

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
    for example in yaml.safe_load(told["crdsExamples"]):
        jsonschema.validate(example, version["schema"]["openAPIV3Schema"])
