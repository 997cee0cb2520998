"""Pods that are needed again: how that is counted, and how long a hold follows from it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.support.samples import AT_S, learned, sample
from tests.unit.test_decision_rhythm import rhythmic

from queueworker_operator.decision.decide import observe
from queueworker_operator.decision.model import Policy, Replicas
from queueworker_operator.decision.outlook import look
from queueworker_operator.decision.recurrence import Returns, Rhythm
from queueworker_operator.decision.regime import TIGHT
from queueworker_operator.decision.restraint import hold_s
from queueworker_operator.decision.returns import GAPS_S, learn_returns, worth_holding_s
from queueworker_operator.decision.state import State

POLICY = Policy(start_within_s=5.0, min_replicas=1, max_replicas=60, default_slots=4)


def after(wanted: Sequence[tuple[float, float]]) -> Returns:
    """Give what is learned each 5 s while (seconds, pods) are wanted in turn."""
    returns, at_s = Returns(), 0.0
    for lasts_s, pods in wanted:
        for _ in range(int(lasts_s // 5)):
            at_s += 5.0
            returns = learn_returns(returns, at_s, pods, 5.0)
    return returns


def seen(returns: Returns) -> dict[float, float]:
    """Give the pods that returned, by the class of their gap."""
    classes = (*GAPS_S, float("inf"))
    return {gap_s: weight for gap_s, weight in zip(classes, returns.weights, strict=True) if weight}


def test_pods_wanted_again_are_counted_by_how_long_they_were_not() -> None:
    found = seen(after([(60, 2), (50, 10), (100, 2), (10, 8)]))

    assert found == {120.0: pytest.approx(6, rel=0.01), float("inf"): pytest.approx(8, rel=0.1)}


def test_each_pod_counts_with_its_own_gap() -> None:
    found = seen(after([(50, 10), (80, 6), (80, 2), (10, 10)]))

    assert found == {90.0: pytest.approx(4, rel=0.01), 180.0: pytest.approx(4, rel=0.01)}


def test_what_was_wanted_longer_ago_than_all_classes_counts_as_new() -> None:
    found = seen(after([(50, 9), (1300, 1), (10, 9)]))

    assert found == {float("inf"): pytest.approx(8, rel=0.01)}


def test_a_steady_need_returns_nothing() -> None:
    assert seen(after([(600, 5)])) == {}
    assert worth_holding_s(Returns(), 600.0) == 0.0


def weights(**pods: float) -> Returns:
    classes = [f"s{gap_s:.0f}" for gap_s in GAPS_S] + ["longer"]
    return Returns(weights=tuple(pods.get(name, 0.0) for name in classes))


@pytest.mark.parametrize(
    ("returns", "price_s", "hold"),
    [
        (weights(s90=10), 60.0, 0.0),
        (weights(s90=10), 200.0, 90.0),
        (weights(s90=10, s900=10), 400.0, 90.0),
        (weights(s90=1, longer=20), 400.0, 0.0),
        (weights(s90=10, s240=10), 400.0, 240.0),
    ],
)
def test_a_hold_pays_where_what_returns_is_worth_what_all_of_them_cost(
    returns: Returns, price_s: float, hold: float
) -> None:
    assert worth_holding_s(returns, price_s) == hold


def test_pods_are_held_longer_only_while_jobs_are_late() -> None:
    def hold(lateness: float) -> float:
        state = learned(tight=True, lateness=lateness, returns=weights(s240=10))
        return hold_s(look(POLICY, state, sample(), Replicas(current=1, ready=1)))

    assert hold(0.0) == TIGHT.hold_s
    assert hold(-0.3) == TIGHT.hold_s
    assert hold(0.35) == 240.0


def observed(state: State, at_s: float) -> Returns:
    now = sample(at_s)
    return observe(POLICY, replace(state, tight=True), now, Replicas(current=1, ready=1)).returns


def test_returns_are_learned_where_the_promise_is_shorter_than_a_start_up() -> None:
    state = learned(returns=Returns(levels=((AT_S - 100.0, 9.0),), weights=weights().weights))
    wanted = replace(state, wanted=((AT_S, 9.0),))
    patient = replace(POLICY, start_within_s=300.0)

    assert seen(observed(wanted, 5.0)) == {120.0: 9.0}
    assert observe(patient, wanted, sample(5.0), Replicas(current=1)).returns == Returns()


def test_what_a_rhythm_brings_back_is_no_reason_to_hold() -> None:
    state = learned(
        returns=Returns(levels=((AT_S - 100.0, 9.0),), weights=weights(s90=5).weights),
        wanted=((AT_S, 9.0),),
    )
    near, far = rhythmic(next_in_s=20.0), rhythmic(next_in_s=200.0)

    assert seen(observed(replace(state, rhythm=near), 5.0)) == {90.0: 5.0}
    assert 120.0 in seen(observed(replace(state, rhythm=far), 5.0))


def test_a_rhythm_that_is_found_forgets_what_its_bursts_brought_back() -> None:
    began_s = (AT_S - 595.0, AT_S - 295.0)
    rhythm = Rhythm(began_s=began_s, shapes=((90.0,),) * 2, last_s=began_s[-1])
    state = learned(tight=True, rhythm=rhythm, returns=weights(s90=5))

    burst = sample(5.0, enqueued_total=100)
    found = observe(POLICY, state, burst, Replicas(current=1, ready=1))

    assert len(found.rhythm.began_s) == 3
    assert found.returns.weights == ()
