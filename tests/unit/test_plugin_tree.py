"""The tree of a QueueWorker: what each pod holds, how long leases and graces still last."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console
from tests.support.mail import Body, deployment, pod
from tests.support.patient import NOW_S, body, placed, worker

from queueworker_operator.lag import WorkerState
from queueworker_operator.plugin.draw import forest_of
from queueworker_operator.plugin.tree import Branch, branch_of


def ending(name: str, in_s: float) -> Body:
    made = placed(pod(name))
    at = datetime.fromtimestamp(NOW_S + in_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made["metadata"]["deletionTimestamp"] = at
    return made


def branch(*workers: WorkerState, pods: tuple[Body, ...] = ()) -> Branch:
    there = pods or (placed(pod("mail-worker-a")),)
    target = placed(deployment(replicas=1))
    return branch_of(body(), NOW_S, deployment=target, pods=there, workers=workers)


def drawn(shown: Branch, *, width: int = 120, colour: bool = False) -> str:
    console = Console(
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        markup=False,
    )
    with console.capture() as captured:
        console.print(forest_of([shown]))
    return captured.get()


def test_a_pod_shows_its_slots_its_oldest_job_and_what_is_left_of_its_lease() -> None:
    text = drawn(branch(worker(slots=8, busy=3, held=1, oldest_start_age_s=95.0)))

    assert "[###.....] 3/8 slots, 1 held, oldest 95s  lease 12s" in text


def test_a_pod_that_ends_shows_the_seconds_until_sigkill() -> None:
    text = drawn(branch(worker(draining=True), pods=(ending("mail-worker-a", 38.0),)))

    assert "ending" in text
    assert "drains  SIGKILL in 38s" in text


def test_a_drained_worker_is_told_from_one_that_still_finishes_jobs() -> None:
    assert drawn(branch(worker(drain=True, busy=0))).rstrip().endswith("  drained")
    assert drawn(branch(worker(drain=True, busy=2))).rstrip().endswith("  drains")


def test_a_worker_that_drains_shows_for_how_long_and_how_long_the_operator_lets_it() -> None:
    asked = worker(drain=True, drain_age_s=12.4, drain_remaining_s=50.0)

    assert drawn(branch(asked)).rstrip().endswith("  drains 12s (of 40s)")
    assert drawn(branch(replace(asked, busy=0))).rstrip().endswith("  drained 12s")


@pytest.mark.parametrize(
    ("grace_s", "shown"), [(2, "(of 10s)"), (90, "(of 90s)"), (3600, "(of 5m)")]
)
def test_the_operator_waits_for_a_drain_as_long_as_the_pods_grace_within_bounds(
    grace_s: int, shown: str
) -> None:
    target = placed(deployment(replicas=1))
    target["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = grace_s
    asked = worker(drain=True, drain_age_s=1.0, drain_remaining_s=50.0)

    found = branch_of(
        body(), NOW_S, deployment=target, pods=[placed(pod("mail-worker-a"))], workers=[asked]
    )

    assert drawn(found).rstrip().endswith(f"  drains 1s {shown}")


def test_a_drain_that_a_person_asked_for_has_no_end_to_show() -> None:
    assert drawn(branch(worker(drain=True, drain_age_s=150.0))).rstrip().endswith("  drains 2m")


def test_of_a_pod_that_ends_the_grace_counts_and_not_the_operators_patience() -> None:
    asked = worker(drain=True, draining=True, drain_age_s=70.0, drain_remaining_s=50.0)

    text = drawn(branch(asked, pods=(ending("mail-worker-a", 38.0),)))

    assert text.rstrip().endswith("  drains 70s  SIGKILL in 38s")


def test_a_ready_pod_without_a_worker_says_so() -> None:
    assert "no worker registered" in drawn(branch())


def test_of_a_pod_whose_database_was_not_read_nothing_is_said_but_why() -> None:
    there = (placed(pod("mail-worker-a")),)
    target = placed(deployment(replicas=1))
    shown = branch_of(body(), NOW_S, deployment=target, pods=there, trouble="no route to it")

    text = drawn(shown)

    assert "mail-worker-a  ready" in text
    assert "no worker registered" not in text
    assert "no route to it" in text


def test_too_many_slots_are_counted_and_not_drawn() -> None:
    assert "  3/200 slots" in drawn(branch(worker(slots=200)))


@pytest.mark.parametrize("width", [30, 40, 60])
def test_nothing_is_lost_in_a_narrow_terminal(width: int) -> None:
    shown = branch(worker(held=2), pods=(ending("mail-worker-a", 38.0),))

    text = drawn(shown, width=width)

    assert max(map(len, text.splitlines())) <= width
    words = [word.strip("│└├─ ") for word in text.split()]
    assert [word for word in drawn(shown, width=400).split() if word.isalnum()] == [
        word for word in words if word.isalnum()
    ]


def test_colour_only_repeats_what_the_words_say() -> None:
    shown = branch(worker(lease_remaining_s=1.0))

    text = drawn(shown, colour=True)

    assert "\x1b[" in text
    assert re.sub(r"\x1b\[[\d;]*m", "", text) == drawn(shown)
