"""The last words: a summary table for people."""

from rich.console import Console
from rich.table import Table

from queueworker_operator.local.summary import Account, Summary
from queueworker_operator.local.view import describe, percent_text
from queueworker_operator.text import counted


def print_summary(console: Console, summary: Summary) -> None:
    """Print the summary and every scale event with its reason."""
    table = Table(title=_title(summary), title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in _rows(summary):
        table.add_row(name, value)
    console.print(table)
    if summary.events:
        console.print("Scale events, each with its reason:")
    for event in summary.events:
        console.print(
            f"{event.at_s:6.1f} s  {describe(event)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def headline(summary: Summary) -> str:
    """Say in a few words how it went."""
    account = summary.account
    if account is None:
        return f"{counted(summary.finished, 'attempt')} finished"
    if account.all_once:
        return f"{counted(account.jobs, 'job')}, each run exactly once"
    return f"{account.completed_once:,} of {counted(account.planned, 'job')} ran exactly once"


def subline(summary: Summary) -> str:
    """Say how late and at what cost."""
    cost = summary.cost
    waits = summary.account.waits if summary.account else None
    wait = f"wait p50 {waits.p50_s:.2f} s, p99 {waits.p99_s:.2f} s · " if waits else ""
    return (
        f"{percent_text(summary.late_percent)} started later than the promised "
        f"{summary.start_within_s:g} s · {wait}{cost.worker_seconds:.0f} worker-seconds, "
        f"{cost.saved_percent:.0f} % less than {counted(cost.max_workers, 'worker')} all the time"
    )


def _title(summary: Summary) -> str:
    cut_short = summary.interrupted and summary.account is not None
    return f"{'Interrupted: ' if cut_short else ''}{headline(summary)}"


def _rows(summary: Summary) -> list[tuple[str, str]]:
    cost = summary.cost
    account = summary.account
    rows = [("replayed", summary.trace)] if summary.trace else []
    rows += (
        _account_rows(account)
        if account
        else [("attempts finished (failed ones too)", f"{summary.finished:,}")]
    )
    if account is None and summary.waiting:
        rows.append(("still queued", f"{summary.waiting:,}, the oldest {summary.oldest_s:.0f} s"))
    rows.append(("share late", _late(summary)))
    if account and account.waits:
        waits = account.waits
        rows.append(
            (
                "wait",
                (
                    f"p50 {waits.p50_s:.2f} s, p95 {waits.p95_s:.2f} s, p99 {waits.p99_s:.2f} s, "
                    f"longest {waits.longest_s:.2f} s"
                ),
            )
        )
    rows.append(("most workers", str(cost.max_workers)))
    rows.append(
        (
            "worker-seconds",
            (
                f"{cost.worker_seconds:.0f}, {cost.saved_percent:.0f} % less than the "
                f"{cost.fixed_worker_seconds:.0f} of {counted(cost.max_workers, 'worker')} all the time"
            ),
        )
    )
    rows.append(("scale events", str(len(summary.events))))
    return rows


def _late(summary: Summary) -> str:
    promise = f"(promise {summary.start_within_s:g} s)"
    if summary.late_percent is None:
        return f"no job was started {promise}"
    return f"{percent_text(summary.late_percent)} {promise}"


def _account_rows(account: Account) -> list[tuple[str, str]]:
    rows = [
        ("jobs", f"{account.jobs:,}"),
        ("run exactly once", f"{account.completed_once:,}"),
        ("lost", str(account.lost)),
        ("run twice", str(account.run_twice)),
    ]
    if account.planned > account.jobs:
        rows.append(("not enqueued", str(account.planned - account.jobs)))
    if account.unfinished:
        rows.append(("still queued", str(account.unfinished)))
    if account.dead:
        rows.append(("dead", str(account.dead)))
    return rows
