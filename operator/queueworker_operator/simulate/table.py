"""The end of a comparison for people: one row a policy."""

from collections.abc import Sequence

from rich.table import Table

from queueworker_operator.simulate.result import Outcome

COLUMNS = (
    "late",
    "wait p50",
    "p95",
    "p99",
    "pod-hours",
    "cost x",
    "events/h",
    "reversals/h",
    "interrupted",
    "most pods",
)


def table_of(outcomes: Sequence[Outcome]) -> Table:
    """Build the table; `cost x` is pod-hours over the hours that the work itself takes."""
    table = Table(box=None, pad_edge=False)
    table.add_column("policy", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for outcome in outcomes:
        figures = outcome.figures
        table.add_row(
            outcome.policy,
            f"{100 * figures.late_fraction:.2f} %",
            f"{figures.wait_p50_s:.1f} s",
            f"{figures.wait_p95_s:.1f} s",
            f"{figures.wait_p99_s:.1f} s",
            f"{figures.pod_hours:.2f}",
            f"{figures.cost_ratio:.2f}",
            f"{figures.scale_events_per_hour:.1f}",
            f"{figures.reversals_per_hour:.1f}",
            str(figures.interrupted_jobs),
            str(figures.max_replicas),
        )
    return table
