"""Alerts, dashboards and runbooks speak of metrics that the code exports."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry
from tests.support.chart import CHART, CI_VALUES, ROOT, HelmFailed, named, render

from queueworker import metrics as worker_metrics
from queueworker_operator.metrics import Metrics

ALERTS = yaml.safe_load((CHART / "rules/alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs/runbooks"
SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "info": ("_info",),
    "gauge": ("",),
}


def families() -> dict[str, set[str]]:
    """Give all metrics that workers and the operator export, with the names of their series."""
    assert worker_metrics.JOBS is not None
    operator = CollectorRegistry()
    Metrics(operator)
    return {
        family.name: {family.name + suffix for suffix in SUFFIXES[family.type]}
        for registry in (REGISTRY, operator)
        for family in registry.collect()
        if family.name.startswith("queueworker_")
    }


def exported() -> set[str]:
    return set().union(*families().values())


def used(expression: str) -> set[str]:
    return set(re.findall(r"queueworker_[a-z_]+", expression))


def expressions(path: Path) -> list[str]:
    panels = json.loads(path.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_uses_metrics_that_exist_and_has_a_runbook(alert: dict[str, str]) -> None:
    assert used(alert["expr"])
    assert used(alert["expr"]) <= exported()
    page = (RUNBOOKS / f"{alert['alert']}.md").read_text()
    assert page.startswith(f"# {alert['alert']}\n")
    assert "**Do this.**" in page


def test_every_runbook_has_its_alert_and_is_listed() -> None:
    names = {alert["alert"] for alert in ALERTS}
    index = (RUNBOOKS / "README.md").read_text()

    assert {path.stem for path in RUNBOOKS.glob("QueueWorker*.md")} == names
    assert set(re.findall(r"\]\((\w+)\.md\)", index)) == names


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_shows_metrics_that_exist(path: Path) -> None:
    for expression in expressions(path):
        assert used(expression), expression
        assert used(expression) <= exported(), expression


def test_the_dashboards_show_every_metric_of_workers_and_operator() -> None:
    shown = {name for path in DASHBOARDS for e in expressions(path) for name in used(e)}
    found = families()

    assert {"queueworker_jobs", "queueworker_leader"} <= found.keys()
    assert sorted(name for name, series in found.items() if not series & shown) == []


def test_the_dashboards_are_made_from_the_lists_of_panels() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "hack/dashboards.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(DASHBOARDS) == 2


def test_the_chart_passes_the_alerts_on_with_their_runbooks() -> None:
    objects = render("--values", next(path for path in CI_VALUES if "everything" in path.name))
    rules = named(objects, "PrometheusRule")["spec"]["groups"][0]["rules"]

    by_name = {rule["alert"]: rule for rule in rules}
    assert [*by_name] == [a["alert"] for a in ALERTS if a["alert"] != "QueueWorkerFlapping"]
    for alert in ALERTS:
        if (rule := by_name.get(alert["alert"])) is not None:
            ours = alert["expr"].replace(
                "queueworker_leader", 'queueworker_leader{namespace="mail"}'
            )
            assert (rule["expr"], rule["for"]) == (ours, alert["for"])
            assert rule["labels"] == {**alert["labels"], "team": "platform"}
            url = f"https://wiki.example.org/queueworker/{alert['alert']}.md"
            assert rule["annotations"] == {**alert["annotations"], "runbook_url": url}


def test_alerts_without_a_place_for_runbooks_have_no_link() -> None:
    rule = named(render("--set", "prometheusRule.enabled=true"), "PrometheusRule")

    rules = rule["spec"]["groups"][0]["rules"]
    assert len(rules) == len(ALERTS)
    assert all("runbook_url" not in found["annotations"] for found in rules)


def test_a_misspelt_alert_cannot_be_left_out() -> None:
    with pytest.raises(HelmFailed, match="QueueWorkerFlaping"):
        render("--set", "prometheusRule.enabled=true,prometheusRule.disabled={QueueWorkerFlaping}")


def test_the_chart_passes_the_dashboards_on_unchanged() -> None:
    objects = render("--set", "dashboards.enabled=true")

    for path in DASHBOARDS:
        carried = named(objects, "ConfigMap", f"queueworker-dashboard-{path.stem}")
        assert carried["metadata"]["labels"]["grafana_dashboard"] == "1"
        (text,) = carried["data"].values()
        assert json.loads(text) == json.loads(path.read_text())


def test_scraped_figures_keep_the_namespace_of_their_resource() -> None:
    objects = render("--set", "serviceMonitor.enabled=true,podMonitor.enabled=true")

    assert named(objects, "ServiceMonitor")["spec"]["endpoints"][0]["honorLabels"] is True
    assert named(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["honorLabels"] is True
