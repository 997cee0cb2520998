"""Alerts and dashboards group and select by labels that the code gives to those metrics."""

import re
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from tests.chart.test_alerts import ALERTS, DASHBOARDS, SUFFIXES, expressions, used

from queueworker import metrics as worker_metrics
from queueworker_operator.metrics import Metrics

# What a scrape adds, by the target; `le` is of a histogram's buckets.
OF_TARGETS = {"namespace", "pod", "instance"}
EXPRESSIONS = sorted(
    {alert["expr"] for alert in ALERTS} | {e for path in DASHBOARDS for e in expressions(path)}
)
GROUPED = re.compile(r"\bby \(([^)]*)\) \(")
SELECTED = re.compile(r"(queueworker_[a-z_]+)\{([^}]*)\}")


def labels() -> dict[str, set[str]]:
    """Give the label names of each series that workers and the operator export."""
    assert worker_metrics.JOBS is not None
    operator = CollectorRegistry()
    exporter = Metrics(operator)
    found: dict[str, set[str]] = {}
    for registry in (REGISTRY, operator):
        for collector in list(registry._collector_to_names):
            families = collector.collect()
            for family in families:
                given = family if collector is exporter else collector
                names = set(getattr(given, "_labelnames", ()) or getattr(given, "_labels", ()))
                for suffix in SUFFIXES.get(family.type, ()):
                    found[family.name + suffix] = names | ({"le"} if suffix == "_bucket" else set())
    return found


LABELS = labels()


def groups(expression: str) -> Iterator[tuple[set[str], str]]:
    """Give the labels of each grouping and what is grouped."""
    for match in GROUPED.finditer(expression):
        depth, end = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(expression[end], 0)
            end += 1
        yield set(re.split(r",\s*", match[1])), expression[match.end() : end]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_groups_by_labels_that_all_its_metrics_have(expression: str) -> None:
    for wanted, inner in groups(expression):
        for metric in used(inner):
            assert wanted <= LABELS[metric] | OF_TARGETS, f"{metric} has {LABELS[metric]}"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_selects_by_labels_that_the_metric_has(expression: str) -> None:
    for metric, matchers in SELECTED.findall(expression):
        wanted = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers))
        assert wanted <= LABELS[metric] | OF_TARGETS, f"{metric} has {LABELS[metric]}"


def test_the_labels_are_read_from_the_code() -> None:
    assert LABELS["queueworker_decisions_total"] == {
        *("namespace", "queueworker", "direction", "reason")
    }
    assert LABELS["queueworker_job_run_seconds_bucket"] == {"queue", "task", "le"}
    assert LABELS["queueworker_ready_jobs"] == {"namespace", "queueworker", "queue"}
