"""The summary counts every job by the ledger, and the picture shows the run."""

import asyncio
import io
from dataclasses import replace
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.support.samples import sample

from queueworker_operator.decision.model import Policy
from queueworker_operator.local.ending import print_summary, subline
from queueworker_operator.local.history import History, Point, ScaleEvent
from queueworker_operator.local.plot import draw
from queueworker_operator.local.replay import Run
from queueworker_operator.local.summary import Cost, Summary, account_of, to_json
from queueworker_operator.local.view import PlainView, Progress, sparkline
from queueworker_operator.report import Report

EVENT = ScaleEvent(at_s=1, name="mail", before=0, after=3, reason="Backlog", message="0->3: [20]")
ENQUEUED = {1: 100.0, 2: 100.0, 3: 100.0, 4: 100.0}
ONCE = {job: Run(starts=1, first_start_s=101.0) for job in ENQUEUED}


def summary_of(**changes: object) -> Summary:
    account = account_of(ENQUEUED, ONCE, {}, planned=4, start_within_s=10.0)
    whole = Summary(
        account=account,
        complete=True,
        cost=Cost(duration_s=50.0, max_workers=3, worker_seconds=60.0),
        late_percent=0.0,
        start_within_s=10.0,
        finished=4,
        waiting=0,
        oldest_s=0.0,
        events=(EVENT,),
        trace="trace.csv",
        interrupted=False,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_jobs_that_ran_once_are_a_good_end() -> None:
    summary = summary_of()

    assert summary.is_good
    shown = to_json(summary)
    assert (shown["jobs"], shown["completed_once"]) == (4, 4)
    assert (shown["lost"], shown["run_twice"], shown["late_percent"]) == (0, 0, 0.0)
    assert (shown["scale_events"], shown["max_workers"], shown["wait_p99_s"]) == (1, 3, 1.0)
    assert shown["events"][0]["reason"] == "Backlog"
    assert shown["saved_percent"] == 60.0


def test_a_lost_job_is_found() -> None:
    ledger = {job: run for job, run in ONCE.items() if job != 3}
    account = account_of(ENQUEUED, ledger, {}, planned=4, start_within_s=10.0)

    assert (account.lost, account.completed_once) == (1, 3)
    assert not summary_of(account=account).is_good


def test_a_job_that_ran_twice_is_found() -> None:
    ledger = {**ONCE, 2: Run(starts=2, first_start_s=101.0)}
    account = account_of(ENQUEUED, ledger, {}, planned=4, start_within_s=10.0)

    assert (account.run_twice, account.completed_once) == (1, 3)
    assert not summary_of(account=account).is_good


def test_a_job_that_started_but_never_finished_is_not_done() -> None:
    states = {1: "running", 2: "dead"}
    account = account_of(ENQUEUED, ONCE, states, planned=4, start_within_s=10.0)

    assert (account.unfinished, account.dead, account.completed_once) == (1, 1, 2)
    assert not summary_of(account=account).is_good


def test_jobs_that_were_never_enqueued_are_not_done() -> None:
    account = account_of(ENQUEUED, ONCE, {}, planned=5, start_within_s=10.0)

    assert not summary_of(account=account).is_good


def test_late_jobs_waited_longer_than_the_promise() -> None:
    ledger = {**ONCE, 4: Run(starts=1, first_start_s=110.5)}
    account = account_of(ENQUEUED, ledger, {}, planned=4, start_within_s=10.0)

    assert account.late_percent == 25.0
    assert account.waits is not None
    assert (account.waits.p50_s, account.waits.longest_s) == (1.0, 10.5)


def test_where_no_job_was_started_nothing_is_called_in_time() -> None:
    account = account_of(ENQUEUED, {}, {}, planned=4, start_within_s=10.0)
    assert account.late_percent is None
    summary = summary_of(account=None, late_percent=None, finished=0, waiting=256, oldest_s=75.4)

    assert to_json(summary)["late_percent"] is None
    assert "- started later" in subline(summary)
    text = printed(summary)
    assert "no job was started (promise 10 s)" in text
    assert "256, the oldest 75 s" in text
    assert "0.00 %" not in text


def test_workers_that_are_not_ready_are_told_apart() -> None:
    def shown(*, desired: int, running: int, ready: int = 0) -> str:
        output = io.StringIO()
        history = History({}, lambda: 0.0, lambda _: None)
        point = Point(at_s=0.0, desired=desired, running=running, ready=ready)
        PlainView(Console(file=output), history, Progress).show(point)
        return output.getvalue()

    assert "workers 6 of 6 (0 ready)  late -" in shown(desired=6, running=6)
    assert "workers 6 of 6  late" in shown(desired=6, running=6, ready=6)
    assert "workers 6 of 2  late" in shown(desired=2, running=6, ready=2)  # four drain


def test_jobs_that_fell_due_are_shown_once_among_the_arrivals() -> None:
    history = History({}, lambda: 0.0, lambda _: None)
    for seen in (sample(), sample(2.0, enqueued_total=20, announced_total=10)):
        asyncio.run(history.report("shop/mail", Report(policy=Policy(), generation=1, sample=seen)))
        history.record()

    assert history.points[-1].arrivals_per_s == 10.0


@given(
    jobs=st.dictionaries(st.integers(1, 30), st.floats(0, 100)),
    starts=st.dictionaries(st.integers(1, 30), st.integers(1, 3)),
    states=st.dictionaries(st.integers(1, 30), st.sampled_from(["ready", "running", "dead"])),
)
def test_every_job_is_counted_somewhere(
    jobs: dict[int, float], starts: dict[int, int], states: dict[int, str]
) -> None:
    ledger = {job: Run(starts=count, first_start_s=200.0) for job, count in starts.items()}
    account = account_of(jobs, ledger, states, planned=len(jobs), start_within_s=1.0)

    counted = account.completed_once + account.run_twice + account.lost
    assert counted + account.unfinished + account.dead >= account.jobs
    assert account.all_once == (all(starts.get(job) == 1 and job not in states for job in jobs))


def printed(summary: Summary) -> str:
    output = io.StringIO()
    print_summary(Console(file=output, width=120), summary)
    return output.getvalue()


def test_the_table_names_every_event_with_its_reason() -> None:
    text = printed(summary_of())
    assert "4 jobs, each run exactly once" in text
    assert "mail: 0 -> 3 (Backlog) 0->3: [20]" in text


def test_a_run_without_a_ledger_claims_no_counts() -> None:
    shown = to_json(summary_of(account=None))

    assert shown["completed_once"] is None
    assert shown["jobs"] == 4


def test_the_picture_is_well_formed_with_every_series() -> None:
    points = [
        Point(at_s=float(at), backlog=at * 7.0, desired=at % 4, running=at % 3) for at in range(60)
    ]

    drawing = draw(points, title="a < b & c", subtitle="", start_within_s=10.0)
    root = ET.fromstring(drawing)  # noqa: S314 our own drawing

    texts = {element.text for element in root.iter() if element.text}
    assert {"a < b & c", "backlog", "desired", "running", "promise 10 s"} <= texts
    assert len(root.findall(".//{*}path")) == 5 + 3


def test_the_picture_of_nothing_is_well_formed() -> None:
    drawing = draw([], title="", subtitle="", start_within_s=1.0)

    assert ET.fromstring(drawing).tag.endswith("svg")  # noqa: S314 our own drawing


def test_a_sparkline_fits_its_width_and_keeps_the_peak() -> None:
    line = sparkline([0.0] * 300 + [5.0] + [0.0] * 300, 72)

    assert len(line) <= 72
    assert "█" in line
    assert sparkline([], 10) == ""
