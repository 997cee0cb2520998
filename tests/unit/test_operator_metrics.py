"""What the operator exports, as a scrape sees it."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.lags import lag

from queueworker_operator.controller.exported import figures_of
from queueworker_operator.decision.model import Decision, Policy, Reason, Replicas
from queueworker_operator.lag.sample import NONE_UNKNOWN, pool
from queueworker_operator.metrics import Metrics, Published
from queueworker_operator.report import Report

MAIL = {"namespace": "default", "queueworker": "mail"}
DECISION = Decision(desired=9, current=6, reason=Reason.BACKLOG, message="6->9")


def scrape(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def published() -> Published:
    row = lag(ready=7, scheduled=3, dead=1, oldest_ready_age_s=4.0, enqueued_total=10)
    report = Report(
        policy=Policy(max_replicas=20),
        generation=1,
        decision=DECISION,
        sample=pool([row], 30.0, NONE_UNKNOWN),
        replicas=Replicas(current=6, ready=5),
    )
    return Published(report=report, queues=(figures_of(row),), sampled_at_s=100.0)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return scrape(registry).get((f"queueworker_{name}", tuple(sorted({**MAIL, **labels}.items()))))


def test_a_scrape_tells_the_last_tick() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, clock=lambda: 102.5)
    metrics.publish("default/mail", published())

    assert value(registry, "desired_replicas") == 9
    assert value(registry, "current_replicas") == 6
    assert value(registry, "max_replicas") == 20
    assert value(registry, "start_within_seconds") == 30
    assert value(registry, "metric_age_seconds") == 2.5
    assert value(registry, "ready_jobs", queue="mail") == 7
    assert value(registry, "scheduled_jobs", queue="mail") == 3
    assert value(registry, "oldest_ready_age_seconds", queue="mail") == 4
    assert value(registry, "enqueued_jobs_total", queue="mail") == 10


def test_a_forgotten_queueworker_is_no_longer_exported() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.publish("default/mail", published())
    metrics.forget("default/mail")

    assert value(registry, "desired_replicas") is None
    assert value(registry, "ready_jobs", queue="mail") is None


def test_rescued_jobs_are_told_by_their_reason_and_late_results_too() -> None:
    registry = CollectorRegistry()
    row = lag(rescued_total=7, rescued_pod_gone_total=3, refused_total=2)
    Metrics(registry).publish("default/mail", replace(published(), queues=(figures_of(row),)))

    assert value(registry, "rescued_jobs_total", queue="mail", reason="pod_gone") == 3
    assert value(registry, "rescued_jobs_total", queue="mail", reason="lease_ended") == 4
    assert value(registry, "rescued_jobs_total", queue="mail") is None
    assert value(registry, "stale_writes_refused_total", queue="mail") == 2


@pytest.mark.parametrize("paused", [True, False])
def test_a_scrape_tells_whether_a_queue_is_paused(paused: bool) -> None:
    registry = CollectorRegistry()
    row = lag(paused=paused)
    Metrics(registry).publish("default/mail", replace(published(), queues=(figures_of(row),)))

    assert value(registry, "queue_paused", queue="mail") == paused


def test_late_jobs_are_told_while_the_queues_can_be_read() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    metrics.publish("default/mail", replace(published(), late_total=3.5))
    assert value(registry, "late_jobs_total") == 3.5

    metrics.publish("default/mail", published())
    assert value(registry, "late_jobs_total") is None


def test_decisions_are_counted_by_direction_and_reason() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.count("default/mail", DECISION)

    assert value(registry, "decisions_total", direction="out", reason="Backlog") == 1


def test_the_version_is_told() -> None:
    registry = CollectorRegistry()
    Metrics(registry)

    assert [name for name, _ in scrape(registry)].count("queueworker_build_info") == 1


def test_two_operators_in_one_process_do_not_share_metrics() -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    Metrics(one).publish("default/mail", published())
    Metrics(other)

    assert value(one, "ready_jobs", queue="mail") == 7
    assert value(other, "ready_jobs", queue="mail") is None


def test_a_queueworker_that_was_never_read_grows_old_all_the_same() -> None:
    now_s = [100.0]
    registry = CollectorRegistry()
    metrics = Metrics(registry, clock=lambda: now_s[0])
    metrics.know(["default/mail"])
    now_s[0] = 170.0
    metrics.know(["default/mail"])

    assert value(registry, "metric_age_seconds") == 70
    assert value(registry, "desired_replicas") is None

    metrics.publish("default/mail", replace(published(), sampled_at_s=None))
    assert value(registry, "metric_age_seconds") == 70


def test_one_that_can_no_longer_be_read_grows_old_from_then_and_a_deleted_one_is_gone() -> None:
    now_s = [102.0]
    registry = CollectorRegistry()
    metrics = Metrics(registry, clock=lambda: now_s[0])
    metrics.know(["default/mail"])
    metrics.publish("default/mail", published())
    metrics.count("default/mail", DECISION)
    now_s[0] = 500.0
    metrics.forget("default/mail")
    now_s[0] = 561.0

    assert value(registry, "metric_age_seconds") == 61

    metrics.know([])

    assert value(registry, "metric_age_seconds") is None
    assert value(registry, "decisions_total", direction="out", reason="Backlog") is None
