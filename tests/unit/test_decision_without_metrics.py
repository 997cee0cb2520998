"""Without metrics, or with replicas set by hand, nothing is decided from a backlog."""

import json
from dataclasses import replace

import pytest
from tests.support.deciding import POLICY, decided
from tests.support.samples import learned, sample

from queueworker_operator.controller.record import Verdict, replay, to_json
from queueworker_operator.decision.decide import decide
from queueworker_operator.decision.model import (
    Fallback,
    Mode,
    Policy,
    Reason,
    Replicas,
    Sample,
)
from queueworker_operator.decision.state import State


def test_a_paused_target_is_left_alone() -> None:
    policy = replace(POLICY, mode=Mode.PAUSED, replicas=5)

    decision = decided(policy, State(), sample(ready=500), Replicas(current=3))

    assert (decision.desired, decision.reason) == (3, Reason.PAUSED)
    assert decision.message == "3: paused, nothing is changed"


def test_manual_replicas_win_over_the_backlog_and_over_missing_data() -> None:
    policy = replace(POLICY, replicas=5)

    for seen in (sample(ready=5000), None):
        decision = decided(policy, State(), seen, Replicas(current=3))

        assert (decision.desired, decision.reason) == (5, Reason.MANUAL)
        assert decision.message == "3->5: spec.replicas is 5"


@pytest.mark.parametrize(
    "seen",
    [
        None,
        sample(ready=float("nan")),
        sample(ready=-1),
        sample(running=float("inf")),
        sample(ready=1e30),
        sample(due_5s=(1, -1)),
    ],
)
def test_without_a_usable_sample_replicas_are_held(seen: Sample | None) -> None:
    state = learned()

    decision, after = decide(POLICY, state, seen, Replicas(current=7, ready=7))

    assert (decision.desired, decision.reason) == (7, Reason.NO_METRICS)
    assert decision.message == "7: no metrics, held"
    assert after == state


@pytest.mark.parametrize(
    ("current", "blind_s", "desired", "reason"),
    [
        (2, 119.0, 2, Reason.NO_METRICS),
        (2, 120.0, 6, Reason.FALLBACK),
        (9, 600.0, 9, Reason.FALLBACK),
    ],
)
def test_a_fallback_adds_pods_once_it_is_time_and_takes_none(
    current: int, blind_s: float, desired: int, reason: Reason
) -> None:
    policy = replace(POLICY, fallback=Fallback(replicas=6, after_s=120.0))
    pods = Replicas(current=current, ready=current)

    decision, after = decide(policy, learned(), None, pods, blind_s=blind_s)

    assert (decision.desired, decision.reason, after) == (desired, reason, learned())
    if reason is Reason.FALLBACK:
        assert decision.message.endswith(
            f": no metrics for {blind_s:.0f}s; spec.fallback.replicas is 6"
        )


def test_a_fallback_stays_under_the_maximum_and_gives_way_to_metrics() -> None:
    policy = Policy(max_replicas=4, fallback=Fallback(replicas=6, after_s=1.0))
    pods = Replicas(current=1, ready=1)

    assert decide(policy, learned(), None, pods, blind_s=5.0)[0].desired == 4
    assert decide(policy, learned(), sample(1.0), pods, blind_s=5.0)[0].desired == 1


def test_a_recorded_fallback_is_made_again() -> None:
    policy = replace(POLICY, fallback=Fallback(replicas=6, after_s=60.0))
    pods = Replicas(current=1, ready=1)
    decision, _ = decide(policy, learned(), None, pods, blind_s=90.0)
    verdict = Verdict(
        policy=policy,
        state=learned(),
        sample=None,
        replicas=pods,
        decision=decision,
        blind_s=90.0,
    )

    assert replay(json.loads(json.dumps(to_json(verdict, 6)))) == decision
