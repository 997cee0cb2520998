"""The checker of operators' writes: a good story passes, each planted bug is caught by its law."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.support.history.operator import Recorded, Span, Story, Write, check

T = "shop/mail-worker"


def write(at_s: float, before: int, replicas: int, **more: Any) -> Write:
    """A write at `at_s`, which is its version too."""
    given = Write(
        target=T,
        at_s=at_s,
        before=before,
        replicas=replicas,
        version=int(at_s),
        base=int(at_s) - 1,
        writer="one",
    )
    return replace(given, **more)


def decision(at_s: float, before: int, asked: int | None, **more: Any) -> Recorded:
    desired = before if asked is None else asked
    record = {
        "decision": {"desired": desired},
        "replicas": {"current": before},
        "asked": asked,
        "sample": {},
        "blind_s": 0.0,
    }
    return Recorded(target=T, at_s=at_s, record=record | more)


def replay(record: Mapping[str, Any]) -> int:
    return int(record.get("again", record["decision"]["desired"]))


OUT, IN = write(100, 0, 8), write(200, 8, 5, writer="two")
GOOD = Story(
    writes=(OUT, IN),
    decisions=(decision(99, 0, 8), decision(150, 8, None), decision(199, 8, 5)),
    bounds={T: (0, 10)},
    last_fault_s=195.0,
    wanted={T: 5},
)
AGAIN = (write(210, 5, 7, writer="two"), write(220, 7, 5, writer="two"))
AGAIN_DECIDED = (*GOOD.decisions, decision(209, 5, 7), decision(219, 7, 5))


def laws(story: Story) -> set[str]:
    return {broken.law for broken in check(story, replay)}


def test_a_good_story_breaks_nothing() -> None:
    assert check(GOOD, replay) == []


def test_a_write_that_failed_may_leave_a_decision_behind() -> None:
    again = (decision(98, 0, 8), *GOOD.decisions)

    assert check(replace(GOOD, decisions=again), replay) == []


def test_a_write_that_failed_an_hour_ago_may_succeed_with_a_record_of_now() -> None:
    story = replace(GOOD, writes=(replace(OUT, at_s=3700),), wanted={}, last_fault_s=None)
    again = (decision(99, 0, 8), decision(3699, 0, 8))

    assert check(replace(story, decisions=again), replay) == []


def test_a_fallback_without_data_may_scale_out() -> None:
    blind = (decision(99, 0, 8, sample=None, blind_s=60.0), *GOOD.decisions[1:])

    assert check(replace(GOOD, decisions=blind, blind=(Span(from_s=90, to_s=110),)), replay) == []


def test_a_target_above_its_bound_is_walked_down() -> None:
    assert check(replace(GOOD, bounds={T: (0, 8)}, writes=(OUT, IN)), replay) == []
    above = replace(GOOD, bounds={T: (0, 4)}, writes=(IN,), decisions=GOOD.decisions[2:])
    assert check(above, replay) == []


PLANTED = {
    "O1 above the most": (replace(GOOD, bounds={T: (0, 7)}), "O1"),
    "O1 below the least": (replace(GOOD, bounds={T: (6, 10)}), "O1"),
    "O2 scaled in while the database was away": (
        replace(GOOD, blind=(Span(from_s=190, to_s=205),)),
        "O2",
    ),
    "O2 an error taken for an empty queue": (
        replace(GOOD, decisions=(*GOOD.decisions[:2], decision(199, 8, 5, sample=None))),
        "O2",
    ),
    "O2 a stale sample believed": (
        replace(GOOD, decisions=(*GOOD.decisions[:2], decision(199, 8, 5, blind_s=60.0))),
        "O2",
    ),
    "O3 flapping": (
        replace(GOOD, writes=(*GOOD.writes, *AGAIN), decisions=AGAIN_DECIDED, last_fault_s=215.0),
        "O3",
    ),
    "O4 written on no version": (
        replace(GOOD, writes=(OUT, replace(IN, base=0))),
        "O4",
    ),
    "O4 written on a version that was overtaken": (
        replace(GOOD, writes=(OUT, replace(IN, base=98))),
        "O4",
    ),
    "O4 a version that is older than its base": (
        replace(GOOD, writes=(OUT, replace(IN, base=200))),
        "O4",
    ),
    "O4 an old leader writes late": (
        replace(
            GOOD,
            writes=(*GOOD.writes, write(204, 5, 5, writer="one")),
            decisions=(*GOOD.decisions, decision(203, 5, 5)),
        ),
        "O4",
    ),
    "O5 converged late": (replace(GOOD, last_fault_s=185.0), "O5"),
    "O5 ends elsewhere": (replace(GOOD, wanted={T: 8}), "O5"),
    "O6 a restart forgets what it learned": (
        replace(GOOD, restarts=(Span(from_s=195, to_s=205),)),
        "O6",
    ),
    "O7 written without a record": (replace(GOOD, decisions=GOOD.decisions[:2]), "O7"),
    "O7 recorded long before it was written": (
        replace(GOOD, decisions=(decision(9, 0, 8), *GOOD.decisions[1:])),
        "O7",
    ),
    "O7 recorded for another size": (
        replace(GOOD, decisions=(*GOOD.decisions[:2], decision(199, 8, 6))),
        "O7",
    ),
    "O7 decides another number when made again": (
        replace(GOOD, decisions=(*GOOD.decisions[:2], decision(199, 8, 5, again=6))),
        "O7",
    ),
    "O7 asked for something else than was decided": (
        replace(
            GOOD,
            decisions=(*GOOD.decisions[:2], decision(199, 8, 5, decision={"desired": 6})),
        ),
        "O7",
    ),
}


@pytest.mark.parametrize(("story", "law"), PLANTED.values(), ids=PLANTED.keys())
def test_each_planted_bug_is_caught_by_its_law_alone(story: Story, law: str) -> None:
    assert laws(story) == {law}
