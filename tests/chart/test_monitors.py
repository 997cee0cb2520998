"""The monitor of the workers finds them, in the namespaces that the operator serves, and no other pod."""

import json
from typing import Any

import pytest
import yaml
from tests.support.chart import ROOT, named, render

ENABLED = "workerMonitor.enabled=true"
WORKERS = ["mail-worker", "queueworker-demo", "queueworker-test"]


def monitor(*settings: str) -> dict[str, Any]:
    arguments = [word for setting in (ENABLED, *settings) for word in ("--set-json", setting)]
    spec: dict[str, Any] = named(render(*arguments), "PodMonitor", "queueworker-workers")["spec"]
    return spec


def templates() -> dict[str, dict[str, Any]]:
    """Give the pod templates of the mail example and of all that the chart deploys."""
    example = yaml.safe_load((ROOT / "examples/mail/deployment.yaml").read_text())
    objects = [example, *render("--set", "demo.enabled=true")]
    return {
        body["metadata"]["name"]: body["spec"]["template"]
        for body in objects
        if body["kind"] == "Deployment"
    }


def test_it_selects_the_workers_of_the_example_and_of_the_chart_alone() -> None:
    wanted = monitor()["selector"]["matchLabels"].items()
    pods = templates()

    assert wanted
    assert sorted(n for n, pod in pods.items() if wanted <= pod["metadata"]["labels"].items()) == (
        WORKERS
    )
    assert len(pods) > len(WORKERS)


@pytest.mark.parametrize("name", WORKERS)
def test_it_scrapes_the_port_on_which_workers_serve_their_metrics(name: str) -> None:
    [endpoint] = monitor()["podMetricsEndpoints"]
    [container] = templates()[name]["spec"]["containers"]

    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
    assert {"name": endpoint["port"], "containerPort": 8080} in container["ports"]


@pytest.mark.parametrize(
    ("settings", "namespaces"),
    [
        ((), {"matchNames": ["mail"]}),
        (('watchNamespaces=["post","reports"]',), {"matchNames": ["post", "reports"]}),
        (('scope="Cluster"',), {"any": True}),
    ],
)
def test_it_looks_where_the_operator_serves(settings: tuple[str, ...], namespaces: object) -> None:
    assert monitor(*settings)["namespaceSelector"] == namespaces


def test_a_selector_of_ones_own_replaces_the_label() -> None:
    own = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["mail-worker"]}]}

    assert monitor(f"workerMonitor.selector={json.dumps(own)}")["selector"] == own


def test_the_operators_labels_are_believed_and_those_of_tenants_pods_are_not() -> None:
    objects = render(
        "--set", "serviceMonitor.enabled=true,podMonitor.enabled=true,workerMonitor.enabled=true"
    )
    believed = {
        f"{body['kind']}/{body['metadata']['name']}": endpoint.get("honorLabels", False)
        for body in objects
        if body["kind"] in {"ServiceMonitor", "PodMonitor"}
        for key in ("endpoints", "podMetricsEndpoints")
        for endpoint in body["spec"].get(key, [])
    }

    assert believed == {
        "ServiceMonitor/queueworker": True,
        "PodMonitor/queueworker": True,
        "PodMonitor/queueworker-workers": False,
    }
