"""The saturation guard, step by step."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.guarding import FLAT, HARMFUL, HELPFUL, SCENE, SLOW, at, measured, scene, seen
from tests.support.samples import AT_S, learned, sample

from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.guard import learn_guard
from queueworker_operator.decision.model import (
    Bottleneck,
    Mode,
    Policy,
    Reason,
    Replicas,
    Saturation,
)
from queueworker_operator.decision.state import Evidence, Guard, GuardMode, Tally


def test_a_rise_that_finishes_no_more_jobs_halves_the_pods() -> None:
    guard, evidence = learn_guard(Guard(), seen(FLAT), SCENE)

    assert (guard.mode, guard.cap, guard.from_pods) == (GuardMode.DOWN, 5, 10)
    assert guard.first
    assert evidence.ticks == ()


@pytest.mark.parametrize(
    ("ticks", "fields"),
    [
        (HELPFUL, {}),
        (FLAT, {"wish": 9}),
        (FLAT, {"slots": 12}),
        (FLAT, {"fastest_s": 5.0}),
        (FLAT[:3], {}),
        (tuple((finished / 30, busy, 5.0) for finished, busy, _ in FLAT), {}),
    ],
    ids=["more help", "fewer wanted", "few pods", "not worth it", "too early", "too few jobs"],
)
def test_there_is_no_alarm_without_proof(
    ticks: tuple[tuple[float, float, float], ...], fields: dict[str, Any]
) -> None:
    assert learn_guard(Guard(), seen(ticks), scene(**fields)) == (Guard(), seen(ticks))


def test_after_a_false_alarm_it_is_silent() -> None:
    silent = Guard(silent_until_s=AT_S + 1.0)

    assert learn_guard(silent, seen(FLAT), SCENE)[0] == silent
    assert learn_guard(silent, seen(FLAT), scene(2.0))[0].mode is GuardMode.DOWN


def test_jobs_that_all_became_slower_for_another_reason_begin_the_evidence_anew() -> None:
    guard, evidence = learn_guard(Guard(), seen(HARMFUL), SCENE)

    assert guard == Guard()
    assert evidence.ticks == HARMFUL[-2:]


def test_the_most_pods_late_with_slow_jobs_try_fewer() -> None:
    worried = scene(service_s=4.0, most=12, wish=12)

    guard, _ = learn_guard(Guard(), seen(SLOW), worried)

    assert (guard.mode, guard.cap, guard.from_pods) == (GuardMode.DOWN, 9, 12)
    for calm in ({"oldest_age_s": 20.0}, {"wish": 11}, {"service_s": 2.5}):
        assert learn_guard(Guard(), seen(SLOW), replace(worried, **calm))[0] == Guard()
    assert learn_guard(Guard(), seen(SLOW[:6]), worried)[0] == Guard()


def test_a_rest_ends_with_a_try_of_more() -> None:
    rest = at(GuardMode.HOLD, since_s=AT_S)
    steady = measured(30.0, 40.0)

    assert learn_guard(rest, steady, scene(59.0))[0].mode is GuardMode.HOLD
    more, evidence = learn_guard(rest, steady, scene(60.0))
    assert (more.mode, more.cap, more.before) == (GuardMode.UP, 14, 10)
    assert evidence.ticks == ()
    assert learn_guard(replace(rest, streak=1), steady, scene(60.0))[0].cap == 20
    assert learn_guard(rest, steady, scene(60.0, most=12))[0].cap == 12


def test_a_rest_ends_at_once_when_jobs_run_faster() -> None:
    rest = at(GuardMode.HOLD, since_s=AT_S, failed=2)

    more, _ = learn_guard(rest, measured(60.0, 40.0), SCENE)

    assert (more.mode, more.failed) == (GuardMode.UP, 0)
    unknown = replace(rest, base=Tally())
    assert learn_guard(unknown, measured(60.0, 40.0), SCENE)[0].mode is GuardMode.HOLD


@pytest.mark.parametrize(
    ("evidence", "fields"),
    [
        (measured(1.0, 40.0), {}),
        (measured(30.0, 40.0, 2), {}),
        (measured(30.0, 40.0), {"wish": 10}),
    ],
    ids=["few jobs", "short", "no more wanted"],
)
def test_a_rest_goes_on_while_there_is_nothing_to_try_with(
    evidence: Evidence, fields: dict[str, Any]
) -> None:
    rest = at(GuardMode.HOLD, since_s=AT_S)

    assert learn_guard(rest, evidence, scene(60.0, **fields))[0].mode is GuardMode.HOLD


def test_after_two_vain_tries_of_more_fewer_are_tried_once() -> None:
    rest = at(GuardMode.HOLD, since_s=AT_S - 600.0, failed=2)

    fewer, _ = learn_guard(rest, measured(10.0, 40.0), SCENE)
    at_the_knee, _ = learn_guard(rest, measured(30.0, 40.0), scene(fastest_s=5.5))
    single, _ = learn_guard(replace(rest, cap=1), measured(10.0, 4.0), SCENE)

    assert (fewer.mode, fewer.cap, fewer.failed) == (GuardMode.DOWN, 7, 0)
    assert (at_the_knee.mode, at_the_knee.cap) == (GuardMode.UP, 14)
    assert (single.mode, single.cap) == (GuardMode.UP, 2)


def test_a_cap_that_binds_nobody_for_three_minutes_comes_off() -> None:
    rest = at(GuardMode.HOLD, since_s=AT_S)

    assert learn_guard(rest, seen(()), scene(179.0, wish=3))[0].mode is GuardMode.HOLD
    assert learn_guard(rest, seen(()), scene(181.0, wish=3))[0] == Guard()
    trying = at(GuardMode.UP, settled_s=AT_S + 180.0)
    assert learn_guard(trying, seen(()), scene(181.0, wish=3))[0] == trying


@pytest.mark.parametrize(
    "fields",
    [{"saturation": Saturation.SPEND}, {"mode": Mode.PAUSED}, {"replicas": 5}],
    ids=["spend", "paused", "by hand"],
)
def test_the_guard_is_off_where_it_may_not_size(fields: dict[str, Any]) -> None:
    capped = learned(guard=at(GuardMode.HOLD))
    pods = Replicas(current=10, ready=10)

    on = observe(Policy(max_replicas=60), capped, sample(5.0), pods)
    off = observe(Policy(max_replicas=60, **fields), capped, sample(5.0), pods)

    assert on.guard.cap == 10
    assert off.guard == Guard()


@pytest.mark.parametrize(
    ("guard", "known", "said"),
    [
        (
            at(GuardMode.DOWN, first=True),
            Bottleneck.IN_QUESTION,
            "40 pods finished no more jobs than fewer; trying 20",
        ),
        (
            at(GuardMode.DOWN),
            Bottleneck.TRYING_FEWER,
            "40 pods finished no more jobs than 40; trying 20",
        ),
        (
            at(GuardMode.UP, before=7),
            Bottleneck.TRYING_MORE,
            "40 pods finished no more jobs than 7; trying 10",
        ),
        (
            at(GuardMode.HOLD, since_s=AT_S - 20.0),
            Bottleneck.HELD,
            "40 pods finished no more jobs than 10; held there, next try in 39s",
        ),
    ],
    ids=["first", "down", "up", "hold"],
)
def test_the_cap_holds_and_is_told(guard: Guard, known: Bottleneck, said: str) -> None:
    seen_now = sample(1.0, ready=5000, oldest_age_s=60.0, running=160, slots_per_pod=4)
    state = learned(guard=guard, service_s=2.0, rate_per_s=20.0)
    pods = Replicas(current=40, ready=40)

    decision, after = decide(Policy(max_replicas=60), state, seen_now, pods)

    assert (decision.desired, decision.reason) == (guard.cap, Reason.SATURATED)
    assert decision.message.endswith(said)
    assert (decision.bottleneck, decision.bottleneck_told) == (known, said)
    assert after.wish == 60


@pytest.mark.parametrize(
    ("guard", "fields", "known"),
    [
        (Guard(), {}, Bottleneck.NOT_SEEN),
        (Guard(silent_until_s=AT_S + 300.0), {}, Bottleneck.FALSE_ALARM),
        (Guard(silent_until_s=AT_S), {}, Bottleneck.NOT_SEEN),
        (Guard(), {"saturation": Saturation.SPEND}, Bottleneck.NOT_WATCHED),
        (Guard(), {"mode": Mode.PAUSED}, Bottleneck.NOT_WATCHED),
        (Guard(), {"replicas": 5}, Bottleneck.NOT_WATCHED),
    ],
    ids=["nothing seen", "a false alarm", "long ago", "spend", "paused", "by hand"],
)
def test_what_is_known_without_a_cap_is_told(
    guard: Guard, fields: dict[str, Any], known: Bottleneck
) -> None:
    pods = Replicas(current=10, ready=10)

    decision, _ = decide(Policy(max_replicas=60, **fields), learned(guard=guard), sample(1.0), pods)

    assert (decision.bottleneck, decision.bottleneck_told) == (known, "")


@pytest.mark.parametrize(
    ("policy", "pods", "desired", "reason"),
    [
        (Policy(min_replicas=30, max_replicas=60), Replicas(current=40, ready=40), 30, None),
        (Policy(max_replicas=60), Replicas(current=40, ready=40, rollout=True), 40, Reason.ROLLOUT),
    ],
    ids=["the fewest", "a rollout"],
)
def test_the_fewest_and_a_rollout_win_over_the_cap(
    policy: Policy, pods: Replicas, desired: int, reason: Reason | None
) -> None:
    seen_now = sample(1.0, ready=5000, oldest_age_s=60.0, running=160, slots_per_pod=4)
    state = learned(guard=at(GuardMode.HOLD), service_s=2.0, rate_per_s=20.0)

    decision, _ = decide(policy, state, seen_now, pods)

    assert decision.desired == desired
    assert reason is None or decision.reason is reason
