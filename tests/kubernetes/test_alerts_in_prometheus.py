"""Each alert is provoked and seen firing by a real Prometheus, and over when its cause is gone.

A real operator with the chart's rights, real workers and real databases go wrong together; the
rules are those that helm renders, with a minute made a second (tests/support/prometheus.py).
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from tests.support.alert_stage import CAUSES, QUEUES, WORKERS, Stage, set_stage
from tests.support.chart import CHART
from tests.support.controlplane import ApiServer, free_port
from tests.support.judge import Unjudged, judged_by_its_secrets
from tests.support.operator_process import (
    Operator,
    grant,
    kubeconfig_of_account,
    running_operator,
)
from tests.support.prometheus import (
    Prometheus,
    Watch,
    hastened,
    rules_of_the_chart,
    running_prometheus,
    scrape,
)
from tests.support.waiting import wait_until
from tests.support.worker_process import probe

NAMESPACE = "alerts"
PROVOKED = {f"QueueWorker{name}": cause.queue for cause in CAUSES for name in cause.alerts}
ALL = {rule["alert"] for group in rules_of_the_chart(NAMESPACE) for rule in group["rules"]}
FIRES_WITHIN_S, OVER_WITHIN_S, FILLED_WITHIN_S = 115.0, 60.0, 30.0
# A forecast is held against what came only later; the others are first told when they happen.
NOT_IN_THE_PLAY = (
    "queueworker_forecast_error_ratio",
    "queueworker_completions_refused_total",
    "queueworker_database_conflicts_total",
    "queueworker_database_lock_timeouts_total",
    "queueworker_database_reconnects_total",
)
pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What Prometheus told during the play."""

    watch: Watch
    calm: set[str]
    empty_panels: list[str]
    pages: dict[str, str]


@pytest.fixture(scope="module")
def seen(
    server: str, template: str, crd: ApiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seen]:
    """Play it once: calm, all causes together, their end, the operator gone and back."""
    folder = tmp_path_factory.mktemp("alerts")
    crd.kubectl("create", "namespace", NAMESPACE)
    grant(crd, NAMESPACE)
    kubeconfig, port = kubeconfig_of_account(crd, NAMESPACE, folder), free_port()
    with (
        set_stage(server, template, crd, NAMESPACE) as stage,
        judged_by_its_secrets(stage.place, unjudged={"flapping": Unjudged.FLAPPING}) as judge,
        running_prometheus(folder / "prometheus", scrapes(stage, port), NAMESPACE) as prometheus,
    ):
        with running_operator(judge, kubeconfig, folder / "first.log", port) as operator:
            calm = calm_alerts(prometheus)
            watch = Watch(prometheus)
            with ExitStack() as causes:
                for cause in CAUSES:
                    causes.enter_context(cause.provoke(stage))
                watch.until_fired(PROVOKED, FIRES_WITHIN_S)
                empty = left_empty(prometheus)
                pages = pages_of(operator, stage)
            watch.until_over(PROVOKED, OVER_WITHIN_S)
        watch.until_fired({"QueueWorkerNoLeader"}, within_s=20)
        with running_operator(judge, kubeconfig, folder / "second.log", port):
            watch.until_over({"QueueWorkerNoLeader"}, within_s=20)
            yield Seen(watch=watch, calm=calm, empty_panels=empty, pages=pages)


def scrapes(stage: Stage, operator_port: int) -> list[dict[str, object]]:
    """Scrape operator and workers as the chart's monitors do."""
    workers = [stage.ports[name] for name in WORKERS]
    return [
        scrape("operator", [operator_port], namespace=stage.namespace),
        scrape("workers", workers, namespace=stage.namespace),
    ]


def calm_alerts(prometheus: Prometheus) -> set[str]:
    """Give what fires or is about to when everything is well, for some seconds."""
    wait_until(lambda: prometheus.healthy("operator") == 1, within_s=20, what="it is scraped")
    wait_until(lambda: prometheus.healthy("workers") == 3, within_s=20, what="workers are scraped")
    wait_until(
        lambda: len(prometheus.query("queueworker_metric_age_seconds < 5")) == len(QUEUES),
        within_s=20,
        what="all queues are read",
    )
    counted = "min(count_over_time(queueworker_metric_age_seconds[10s])) >= 5"
    wait_until(lambda: prometheus.query(counted), within_s=20, what="five scrapes")
    return prometheus.alert_names()


def left_empty(prometheus: Prometheus) -> list[str]:
    """Give the panels that stay empty: a rate needs two scrapes, which a busy machine delays."""
    deadline_s = time.monotonic() + FILLED_WITHIN_S
    while (empty := empty_panels(prometheus)) and time.monotonic() < deadline_s:
        time.sleep(0.5)
    return empty


def empty_panels(prometheus: Prometheus) -> list[str]:
    """Name the expressions of the dashboards that show nothing."""
    values = {"$__rate_interval": "30s", "$namespace": ".*", "$queueworker": ".*"}
    empty = []
    for path in sorted((CHART / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                for name, value in values.items():
                    expression = expression.replace(name, value)
                if not any(name in expression for name in NOT_IN_THE_PLAY) and (
                    not prometheus.query(expression)
                ):
                    empty.append(expression)
    return empty


def pages_of(operator: Operator, stage: Stage) -> dict[str, str]:
    """Give what operator and worker serve."""
    return {
        "operator": operator.get("/metrics")[1],
        "worker": probe(stage.ports["late"], "/metrics")[1],
    }


def test_everything_that_the_chart_has_an_alert_for_is_provoked() -> None:
    assert {*PROVOKED, "QueueWorkerNoLeader"} == ALL


def test_nothing_fires_while_all_is_well(seen: Seen) -> None:
    assert seen.calm == set()


@pytest.mark.parametrize("alert", sorted(ALL))
def test_a_provoked_alert_fires_and_is_over_when_its_cause_is_gone(seen: Seen, alert: str) -> None:
    assert alert in seen.watch.fired_s, f"never fired; others: {seen.watch.fired_s}"
    assert seen.watch.whose[alert] == {PROVOKED.get(alert, "")}
    assert alert in seen.watch.over_s, f"still fires; others: {seen.watch.over_s}"


def test_every_panel_of_the_dashboards_shows_something_then(seen: Seen) -> None:
    assert seen.empty_panels == []


@pytest.mark.parametrize("who", ["operator", "worker"])
def test_promtool_finds_nothing_wrong_with_what_is_served(seen: Seen, who: str) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=seen.pages[who],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_faster_rules_differ_in_times_alone() -> None:
    group = {"rules": [{"alert": "A", "expr": "increase(x_total[1h]) > 15", "for": "5m"}]}
    bounded = {"rules": [{"alert": "B", "expr": "max(age_seconds) > 3600", "for": "15m"}]}
    short = {"rules": [{"alert": "C", "expr": "min(age_seconds) > 60", "for": "1m"}]}

    rules = [one["rules"][0] for one in hastened([group, bounded, short])]

    assert [(rule["expr"], rule["for"]) for rule in rules] == [
        ("increase(x_total[60000ms]) > 15", "5000ms"),
        ("max(age_seconds) > 60", "15000ms"),
        ("min(age_seconds) > 60", "1000ms"),
    ]
