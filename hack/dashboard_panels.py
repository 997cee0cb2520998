"""What the two Grafana dashboards show: their panels, and the expressions of each."""

from collections.abc import Sequence
from dataclasses import dataclass

QW = '{namespace=~"$namespace", queueworker=~"$queueworker"}'
BY_QW = "by (namespace, queueworker)"
BY_QUEUE = "by (namespace, queueworker, queue)"
POD = '{namespace=~"$namespace"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One chart: `lines` are (legend, expression); `unit` is Grafana's name of it."""

    title: str
    text: str
    lines: Sequence[tuple[str, str]]
    unit: str = "short"


def quantile(share: float, metric: str, by: str, selector: str) -> str:
    """Give the expression of a histogram's quantile."""
    rate = f"rate(queueworker_{metric}_bucket{selector}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le, {by}) ({rate}))"


def most(metric: str, by: str = BY_QW, selector: str = QW) -> str:
    """Give one of the figures that all replicas of the operator publish."""
    return f"max {by} (queueworker_{metric}{selector})"


def per_s(metric: str, by: str = BY_QUEUE, selector: str = QW) -> str:
    """Give a counter's rate; all replicas of the operator publish the same."""
    return f"max {by} (rate(queueworker_{metric}{selector}[$__rate_interval]))"


LATE = f"{per_s('late_jobs_total', BY_QW)} / sum {BY_QW} ({per_s('started_jobs_total')} > 0)"

QUEUE = (
    Panel(
        title="Backlog",
        text="Jobs that may be claimed now, that run, and that become ready later.",
        lines=(
            ("{{queue}} ready", most("ready_jobs", BY_QUEUE)),
            ("{{queue}} running", most("running_jobs", BY_QUEUE)),
            ("{{queue}} scheduled", most("scheduled_jobs", BY_QUEUE)),
        ),
    ),
    Panel(
        title="Age of the oldest ready job, and the promise",
        text="Above the promise jobs are late.",
        unit="s",
        lines=(
            ("{{queue}}", most("oldest_ready_age_seconds", BY_QUEUE)),
            ("{{queueworker}} promise", most("start_within_seconds")),
        ),
    ),
    Panel(
        title="Paused queues",
        text="1 while claims are suspended: what waits there gets older on purpose, and is in no alert.",
        lines=(("{{queue}}", most("queue_paused", BY_QUEUE)),),
    ),
    Panel(
        title="Jobs in and out",
        text="Enqueued ready, started and ended, a second.",
        unit="ops",
        lines=(
            ("{{queue}} enqueued", per_s("enqueued_jobs_total")),
            ("{{queue}} started", per_s("started_jobs_total")),
            (
                "{{queue}} {{outcome}}",
                per_s("completed_jobs_total", "by (namespace, queueworker, queue, outcome)"),
            ),
        ),
    ),
    Panel(
        title="Share of jobs that start late",
        text="Beside the share that the resource allows.",
        unit="percentunit",
        lines=(
            ("{{queueworker}}", LATE),
            ("{{queueworker}} allowed", most("late_ratio_allowed")),
        ),
    ),
    Panel(
        title="Replicas",
        text="What the decision asks for, what the target has, what is Ready, and the bound.",
        lines=(
            ("{{queueworker}} desired", most("desired_replicas")),
            ("{{queueworker}} current", most("current_replicas")),
            ("{{queueworker}} ready", most("ready_replicas")),
            ("{{queueworker}} max", most("max_replicas")),
        ),
    ),
    Panel(
        title="Replicas by policy",
        text="What deadline-budget control asks for, and the query of KEDA's documented example.",
        lines=(
            (
                "{{queueworker}} {{policy}}",
                most("recommended_replicas", "by (namespace, queueworker, policy)"),
            ),
        ),
    ),
    Panel(
        title="Forecast error",
        text="Share of the jobs of ten minutes by which forecasts and arrivals differed; 0 is perfect.",
        unit="percentunit",
        lines=(("{{queueworker}}", most("forecast_error_ratio")),),
    ),
    Panel(
        title="Wait, from ready to start",
        text="By the workers' own histograms.",
        unit="s",
        lines=(
            ("{{queue}} p50", quantile(0.5, "job_wait_seconds", "namespace, queue", POD)),
            ("{{queue}} p99", quantile(0.99, "job_wait_seconds", "namespace, queue", POD)),
        ),
    ),
    Panel(
        title="Run time",
        text="From the start to the end of the handler.",
        unit="s",
        lines=(
            ("{{task}} p50", quantile(0.5, "job_run_seconds", "namespace, queue, task", POD)),
            ("{{task}} p99", quantile(0.99, "job_run_seconds", "namespace, queue, task", POD)),
        ),
    ),
    Panel(
        title="Slots",
        text="What the workers' slots do.",
        lines=(
            ("{{state}}", f"sum by (namespace, state) (queueworker_slots{POD})"),
            ("held", f"sum by (namespace) (queueworker_held_jobs{POD})"),
        ),
    ),
    Panel(
        title="Dead letters",
        text="Jobs out of attempts, until they are retried or purged.",
        lines=(("{{queue}}", most("dead_jobs", BY_QUEUE)),),
    ),
    Panel(
        title="Given back and taken back",
        text="Jobs that draining workers gave back, jobs of workers that died, by what told so, and results that came too late.",
        unit="ops",
        lines=(
            ("{{queue}} released", per_s("released_jobs_total")),
            (
                "{{queue}} rescued, {{reason}}",
                per_s("rescued_jobs_total", "by (namespace, queueworker, queue, reason)"),
            ),
            ("{{queue}} too late", per_s("stale_writes_refused_total")),
        ),
    ),
)

# A pod that two monitors scrape counts once.
OF_PODS = (
    "max by (namespace, queueworker, direction, reason, pod, instance)"
    " (rate(queueworker_decisions_total[$__rate_interval]))"
)
OPERATOR = (
    Panel(
        title="Leader",
        text="1 while a replica may write; exactly one of a release should.",
        lines=(("{{namespace}} {{pod}}", "max by (namespace, pod) (queueworker_leader)"),),
    ),
    Panel(
        title="Decisions",
        text="Changes of replicas or of the reason, a second.",
        unit="ops",
        lines=(("{{direction}} {{reason}}", f"sum by (direction, reason) ({OF_PODS})"),),
    ),
    Panel(
        title="Age of the last reading",
        text="Above a minute nothing is scaled in, and a fallback may take over.",
        unit="s",
        lines=(("{{queueworker}}", f"min {BY_QW} (queueworker_metric_age_seconds)"),),
    ),
    Panel(
        title="Reading the lag",
        text="All queues of a database in one query.",
        unit="s",
        lines=(
            ("p50", quantile(0.5, "metric_read_seconds", "pod", "")),
            ("p99", quantile(0.99, "metric_read_seconds", "pod", "")),
        ),
    ),
    Panel(
        title="Readings that failed",
        text="Databases that did not answer, or gave something that is no number.",
        unit="ops",
        lines=(
            (
                "{{namespace}} {{pod}}",
                per_s("metric_read_failures_total", "by (namespace, pod)", ""),
            ),
        ),
    ),
    Panel(
        title="Time to decide",
        text="One decision.",
        unit="s",
        lines=(
            ("p50", quantile(0.5, "decision_seconds", "pod", "")),
            ("p99", quantile(0.99, "decision_seconds", "pod", "")),
        ),
    ),
    Panel(
        title="Conditions that ask for attention",
        text="By reason, as in the resources' status.",
        lines=(("{{queueworker}} {{reason}}", f"max {BY_QW[:-1]}, reason) (queueworker_trouble)"),),
    ),
    Panel(
        title="Claims and leases of the workers",
        text="Round trips to the database, p99.",
        unit="s",
        lines=(
            ("claim {{queue}}", quantile(0.99, "claim_seconds", "queue", "")),
            ("renewal", quantile(0.99, "lease_renew_seconds", "namespace", "")),
        ),
    ),
    Panel(
        title="Versions",
        text="Of the operators that are scraped.",
        lines=(("{{namespace}} {{version}}", "queueworker_build_info"),),
    ),
)
