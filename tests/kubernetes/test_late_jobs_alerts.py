"""A job is late by the promise of its time: a new promise or queue makes no old job late."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.promtool import failures
from tests.support.rule_play import RulePlay, queue

BURNS = ("QueueWorkerLagSloBurnFast", "QueueWorkerLagSloBurnSlow")
CHANGED_AT, ENDS_AT = 370, 450
pytestmark = pytest.mark.system


def calm(play: RulePlay) -> list[dict[str, Any]]:
    """Expect that no burn is told from the change on."""
    return [
        {"eval_time": f"{minute}m", "alertname": burn, "exp_alerts": []}
        for minute in range(CHANGED_AT - 1, play.minutes)
        for burn in BURNS
    ]


def test_a_shorter_promise_that_is_kept_pages_nobody(tmp_path: Path) -> None:
    play = RulePlay({"mail": queue("mail")}, promise_s=30)
    play.go_on(CHANGED_AT, jobs=60, wait_s=10)
    play.promise(5)
    play.go_on(ENDS_AT - CHANGED_AT, jobs=60, wait_s=3)

    assert failures(tmp_path, play.series(), calm(play)) == ""


def test_a_longer_promise_pages_nobody(tmp_path: Path) -> None:
    play = RulePlay({"mail": queue("mail")}, promise_s=30)
    play.go_on(CHANGED_AT, jobs=60, wait_s=10)
    play.promise(60)
    play.go_on(ENDS_AT - CHANGED_AT, jobs=60, wait_s=10)

    assert failures(tmp_path, play.series(), calm(play)) == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [(("mail",), ("mail", "reports")), (("mail", "reports"), ("mail",))],
    ids=["added", "taken away"],
)
def test_other_queues_page_nobody(
    tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    play = RulePlay({"mail": queue("mail"), "reports": queue("reports")}, promise_s=30)
    play.serve(*before)
    play.go_on(CHANGED_AT, jobs=60, wait_s=10)
    play.serve(*after)
    play.go_on(ENDS_AT - CHANGED_AT, jobs=60, wait_s=10)

    assert failures(tmp_path, play.series(), calm(play)) == ""


def test_a_shorter_promise_that_is_broken_from_then_on_is_told(tmp_path: Path) -> None:
    play = RulePlay({"mail": queue("mail")}, promise_s=30)
    play.go_on(CHANGED_AT, jobs=60, wait_s=10)
    play.promise(5)
    play.go_on(ENDS_AT - CHANGED_AT, jobs=60, wait_s=10)
    told = {
        "exp_labels": {"namespace": "shop", "queueworker": "mail", "severity": "critical"},
        "exp_annotations": {
            "summary": "shop/mail: 100% of the last hour's jobs started late",
            "description": "At this pace a month's allowance of late jobs is gone within two days.",
        },
    }
    before, later = f"{CHANGED_AT - 1}m", f"{ENDS_AT - 1}m"

    expected: list[dict[str, Any]] = [
        {"eval_time": before, "alertname": BURNS[0], "exp_alerts": []},
        {"eval_time": later, "alertname": BURNS[0], "exp_alerts": [told]},
    ]
    assert failures(tmp_path, play.series(), expected) == ""
