"""Labels: each key once, the more special value wins, and selectors choose what they are meant to."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.chart import CHART, named, render

EVERYTHING = ("--values", CHART / "ci/everything-values.yaml", "--set", "demo.enabled=true")
VALUE = re.compile(r"(?=.{0,63}$)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
# Each map names a key of another one, and one that the chart writes itself.
OWN = {"team": "own", "app.kubernetes.io/version": "own", "helm.sh/chart": "own"}
COMMON = {
    "team": "common",
    "grafana_dashboard": "common",
    "queueworker.dev/worker": "common",
    "rbac.authorization.k8s.io/aggregate-to-view": "common",
    "app.kubernetes.io/managed-by": "common",
}
SPECIAL = ("podLabels", *(f"{part}.labels" for part in (
    "serviceMonitor", "podMonitor", "workerMonitor", "prometheusRule", "dashboards"
)))  # fmt: skip


@pytest.fixture
def overlapping() -> list[dict[str, Any]]:
    """Render all that has labels, with labels that overlap; a key written twice is an error."""
    given = {"commonLabels": COMMON} | dict.fromkeys(SPECIAL, OWN)
    settings = [word for k, v in given.items() for word in ("--set-json", f"{k}={json.dumps(v)}")]
    return render(*EVERYTHING, *settings)


def metadata(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the metadata of every object of the release's own and of every pod template."""
    for body in objects:
        name = f"{body['kind']}/{body['metadata']['name']}"
        if "labels" in body["metadata"]:
            yield name, body["metadata"]
        if "template" in (spec := body.get("spec", {})):
            yield f"{name}, its pods", spec["template"]["metadata"]


def test_a_key_that_a_template_writes_twice_is_an_error(tmp_path: Path) -> None:
    chart = Path(shutil.copytree(CHART, tmp_path / "queueworker"))
    twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: b\n  a: c\n"
    (chart / "templates/twice.yaml").write_text(twice)

    with pytest.raises(yaml.constructor.ConstructorError, match="a written twice"):
        render(chart=chart)


def test_the_labels_of_one_object_win_over_those_of_all(overlapping: list[dict[str, Any]]) -> None:
    found = dict(metadata(overlapping))
    special = {
        "Deployment/queueworker, its pods",
        "ServiceMonitor/queueworker",
        "PodMonitor/queueworker",
        "PodMonitor/queueworker-workers",
        "PrometheusRule/queueworker",
        "ConfigMap/queueworker-dashboard-operator",
        "ConfigMap/queueworker-dashboard-queue",
    }

    assert special < found.keys()
    for name, body in found.items():
        labels = body["labels"]
        wanted = COMMON | OWN if name in special else COMMON
        if name.startswith("Deployment") and name.endswith(("-demo, its pods", "-test, its pods")):
            wanted = wanted | {"queueworker.dev/worker": "true"}
        if name.startswith("ClusterRole/") and name.endswith("-view"):
            wanted = wanted | {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
        assert wanted.items() <= labels.items(), name


def test_every_selector_chooses_its_pods_and_every_label_is_valid() -> None:
    objects = render(*EVERYTHING, "--set-string", "nameOverride=7")

    deployments = [body["spec"] for body in objects if body["kind"] == "Deployment"]
    assert len(deployments) == 5
    for spec in deployments:
        chosen = spec["selector"]["matchLabels"]
        assert chosen.items() <= spec["template"]["metadata"]["labels"].items()
        assert chosen["app.kubernetes.io/name"] == "7"
    for name, body in metadata(objects):
        for value in body["labels"].values():
            assert VALUE.fullmatch(value), (name, value)


def test_the_migration_is_a_component_of_its_own() -> None:
    job = named(render(*EVERYTHING), "Job")

    for body in (job, job["spec"]["template"]):
        assert body["metadata"]["labels"]["app.kubernetes.io/component"] == "migrate"
