"""What the dashboard of queues and workers shows of the workers' own health."""

from dashboard_panels import POD, Panel, quantile

BY_PURPOSE = "by (namespace, purpose)"
BY_QUEUE = "by (namespace, queue)"
BY_POD = "by (namespace, pod)"


def total_per_s(metric: str, by: str) -> str:
    """Give a counter's rate, of all workers together: each counts its own."""
    return f"sum {by} (rate(queueworker_{metric}{POD}[$__rate_interval]))"


WORKERS = (
    Panel(
        title="Runs that ended, by the workers' own count",
        text="By outcome; jobs that were given back or cancelled, too. Jobs in and out has the database's count.",
        unit="ops",
        lines=(
            ("{{queue}} {{outcome}}", total_per_s("jobs_total", "by (namespace, queue, outcome)")),
        ),
    ),
    Panel(
        title="Claims in vain and results refused",
        text="Claims that found nothing; results of jobs that were given to another worker, or cancelled.",
        unit="ops",
        lines=(
            ("{{queue}} empty claims", total_per_s("claims_empty_total", BY_QUEUE)),
            ("{{queue}} refused", total_per_s("completions_refused_total", BY_QUEUE)),
        ),
    ),
    Panel(
        title="Drains",
        text="Time from SIGTERM to the end, of workers that are scraped once more before they exit: few are.",
        unit="s",
        lines=(
            ("{{namespace}} p50", quantile(0.5, "drain_seconds", "namespace", POD)),
            ("{{namespace}} p99", quantile(0.99, "drain_seconds", "namespace", POD)),
        ),
    ),
    Panel(
        title="Jobs given back by drains, leases lost",
        text="Leases end before their worker where it was held up, or its database was away.",
        unit="ops",
        lines=(
            ("{{namespace}} given back", total_per_s("drain_released_total", "by (namespace)")),
            ("{{namespace}} leases lost", total_per_s("lease_lost_total", "by (namespace)")),
        ),
    ),
    Panel(
        title="Trouble with the database",
        text="Connections opened again, statements done again after a conflict, or given up at a lock.",
        unit="ops",
        lines=(
            ("{{purpose}} reconnects", total_per_s("database_reconnects_total", BY_PURPOSE)),
            ("{{purpose}} conflicts", total_per_s("database_conflicts_total", BY_PURPOSE)),
            ("{{purpose}} lock timeouts", total_per_s("database_lock_timeouts_total", BY_PURPOSE)),
        ),
    ),
    Panel(
        title="Workers that are woken",
        text="Workers to which notifications are proved to arrive, beside all: the others poll.",
        lines=(
            ("{{namespace}} listening", f"sum by (namespace) (queueworker_listening{POD})"),
            ("{{namespace}} workers", f"count by (namespace) (queueworker_listening{POD})"),
        ),
    ),
    Panel(
        title="Event loops held up",
        text="Share of the time in which a handler kept its worker from going on.",
        unit="percentunit",
        lines=(("{{pod}}", total_per_s("loop_blocked_seconds_total", BY_POD)),),
    ),
    Panel(
        title="Oldest open transaction",
        text="It keeps dead rows: claims grow slow after hours.",
        unit="s",
        lines=(
            (
                "{{namespace}}",
                f"max by (namespace) (queueworker_database_oldest_transaction_seconds{POD})",
            ),
        ),
    ),
    Panel(
        title="Age of the oldest transaction id",
        text="In transactions; at about 2,000 million the server takes no more writes.",
        lines=(
            (
                "{{namespace}}",
                f"max by (namespace) (queueworker_database_transaction_id_age{POD})",
            ),
        ),
    ),
)
