"""A real Prometheus (Debian's) with the chart's own rules, made faster.

Faster by one rule: a minute becomes a second. Each `for`, each range of an expression (`[1h]`) and
each bound of an hour or more (`> 3600`) is divided by 60; counts, shares and shorter bounds stay.
"""

import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.support.chart import named, render
from tests.support.controlplane import free_port
from tests.support.ending import end
from tests.support.waiting import wait_until

HASTE = 60
UNITS_S = {"s": 1, "m": 60, "h": 3600}
HOUR_S = 3600
START_WITHIN_S = 20.0
STOP_WITHIN_S = 10.0
MONITORS = {"operator": "queueworker", "workers": "queueworker-workers"}

Body = dict[str, Any]


def faster(duration: str) -> str:
    """Shorten a duration such as `15m`."""
    return f"{int(duration[:-1]) * UNITS_S[duration[-1]] * 1000 // HASTE}ms"


def hastened(groups: Sequence[Body]) -> list[Body]:
    """Give groups of rules in which a minute is a second; nothing else differs."""
    return [group | {"rules": [_hastened(rule) for rule in group["rules"]]} for group in groups]


def _hastened(rule: Body) -> Body:
    ranged = re.sub(r"\[(\d+[smh])\]", lambda found: f"[{faster(found[1])}]", rule["expr"])
    bounded = re.sub(r"_seconds\) > (\d{4,})\b", _nearer, ranged)
    return rule | {"expr": bounded, "for": faster(rule["for"])}


def _nearer(found: re.Match[str]) -> str:
    bound_s = int(found[1])
    return f"_seconds) > {bound_s // HASTE if bound_s >= HOUR_S else bound_s}"


def rules_of_the_chart(namespace: str) -> list[Body]:
    """Give the groups of the PrometheusRule that helm renders for a release in the namespace."""
    objects = render("--namespace", namespace, "--set", "prometheusRule.enabled=true")
    rule = named(objects, "PrometheusRule")
    groups: list[Body] = rule["spec"]["groups"]
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """A running server."""

    port: int
    log: Path

    def firing(self) -> list[Mapping[str, str]]:
        """Give the labels of the alerts that fire, as the server tells them."""
        alerts = self.ask("alerts")["alerts"]
        return [alert["labels"] for alert in alerts if alert["state"] == "firing"]

    def alert_names(self) -> set[str]:
        """Name the alerts that fire or are about to."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"]}

    def query(self, expression: str) -> list[Body]:
        """Give the series of an expression now."""
        result: list[Body] = self.ask("query", query=expression)["result"]
        return result

    def healthy(self, job: str) -> int:
        """Count the targets of a job that answered the last scrape."""
        targets = self.ask("targets")["activeTargets"]
        return sum(t["health"] == "up" for t in targets if t["labels"]["job"] == job)

    def ask(self, what: str, **parameters: str) -> Body:
        """Ask the server's own API."""
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{query}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            body: Body = json.load(answer)
        return dict(body["data"])

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/-/ready", timeout=5
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class PrometheusMissing(Exception):
    """The program is not on PATH; the message says how to get it."""


@contextlib.contextmanager
def running_prometheus(
    folder: Path, scrapes: Sequence[Body], namespace: str
) -> Iterator[Prometheus]:
    """Run a server on the rules of a release in the namespace, made faster, until the block ends.

    Raises:
        PrometheusMissing: it is not installed.
    """
    if shutil.which("prometheus") is None:
        raise PrometheusMissing("prometheus is not on PATH: run hack/packages prometheus")
    folder.mkdir()
    groups = hastened(rules_of_the_chart(namespace))
    (folder / "alerts.yaml").write_text(yaml.safe_dump({"groups": groups}))
    pace = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"}
    config = {"global": pace, "rule_files": ["alerts.yaml"], "scrape_configs": list(scrapes)}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    server = Prometheus(port=free_port(), log=folder / "log")
    with server.log.open("wb") as log:
        process = subprocess.Popen(_command(server, folder), stdout=log, stderr=log, cwd=folder)
    try:
        wait_until(
            lambda: process.poll() is not None or server.is_ready(),
            within_s=START_WITHIN_S,
            what="Prometheus is ready",
        )
        assert process.poll() is None, server.log.read_text()
        yield server
    finally:
        end(process, STOP_WITHIN_S)


def _command(server: Prometheus, folder: Path) -> list[str]:
    return [
        "prometheus",
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{server.port}",
        "--log.level=warn",
    ]


def scrape(job: str, ports: Collection[int], **labels: str) -> Body:
    """Describe what to scrape for the job `operator` or `workers`, as the chart's monitor does."""
    targets = [f"127.0.0.1:{port}" for port in ports]
    static = {"targets": targets, "labels": labels}
    return {"job_name": job, "honor_labels": honors_labels(job), "static_configs": [static]}


def honors_labels(job: str) -> bool:
    """Tell whether the chart's monitor of `operator` or `workers` believes their labels."""
    objects = render("--set", "podMonitor.enabled=true,workerMonitor.enabled=true")
    monitor = named(objects, "PodMonitor", MONITORS[job])
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    return bool(endpoint.get("honorLabels", False))


class Watch:
    """Notes which alerts fire, for whom and when, and when they are over, in seconds."""

    def __init__(self, prometheus: Prometheus) -> None:
        self.fired_s: dict[str, float] = {}
        self.over_s: dict[str, float] = {}
        self.whose: dict[str, set[str]] = {}
        self._prometheus = prometheus
        self._began_s = time.monotonic()

    def until_fired(self, names: Collection[str], within_s: float) -> None:
        """Look on until all of `names` have fired, or for so long."""
        self._until(lambda: set(names) <= self.fired_s.keys(), within_s)

    def until_over(self, names: Collection[str], within_s: float) -> None:
        """Look on until none of `names` fires any more, or for so long."""
        self._until(lambda: set(names) <= self.over_s.keys(), within_s)

    def _until(self, condition: Callable[[], bool], within_s: float) -> None:
        deadline_s = time.monotonic() + within_s
        self._look()
        while not condition() and time.monotonic() < deadline_s:
            time.sleep(0.3)
            self._look()

    def _look(self) -> None:
        now_s = time.monotonic() - self._began_s
        firing = self._prometheus.firing()
        for labels in firing:
            name = labels["alertname"]
            self.fired_s.setdefault(name, now_s)
            self.over_s.pop(name, None)
            self.whose.setdefault(name, set()).add(labels.get("queueworker", ""))
        for name in self.fired_s.keys() - {labels["alertname"] for labels in firing}:
            self.over_s.setdefault(name, now_s)
