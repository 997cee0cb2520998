"""What pods cannot help, simulated second by second: they are given back, and come again."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.fluid import Scenario, simulate
from tests.support.stories import exponential, poisson

from queueworker_operator.decision.model import Policy, Reason, Saturation

SPEND = Saturation.SPEND


def bottleneck(slots: float) -> Callable[[int], float]:
    """Give the speed of jobs that share what `slots` busy slots use up."""
    return lambda running: min(1.0, slots / max(running, 1))


def test_pods_that_a_bottleneck_makes_useless_are_given_back() -> None:
    shared = bottleneck(24.0)
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60),
        arrivals=(
            *poisson(5.0, 0.0, 300.0, exponential(2.0)),
            *poisson(20.0, 300.0, 1200.0, exponential(2.0)),
        ),
        lasts_s=1200.0,
        slots=4,
        pods=3,
        speed=lambda _, running: shared(running),
    )

    guarded = simulate(scenario)
    spent = simulate(replace(scenario, policy=replace(scenario.policy, saturation=SPEND)))

    assert max(spent.pods[600:]) == 60
    assert sum(guarded.pods[600:]) / 600 <= 1.8 * 6  # six pods use the bottleneck up
    assert len(guarded.waits_s) >= 0.95 * len(spent.waits_s)
    told = {decision.reason for decision in guarded.decisions[600:]}
    assert told <= {Reason.SATURATED, Reason.PODS_NOT_STARTING}
    assert {decision.reason for decision in spent.decisions[600:]} == {Reason.MAX_REPLICAS}


def test_the_cap_comes_off_soon_after_the_bottleneck_is_gone() -> None:
    shared = bottleneck(12.0)
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60),
        arrivals=poisson(10.0, 0.0, 1500.0, exponential(2.0)),
        lasts_s=1500.0,
        slots=4,
        pods=5,
        speed=lambda at_s, running: shared(running) if 200 < at_s < 800 else 1.0,
    )

    outcome = simulate(scenario, keep_records=True)

    caps = [state.guard.cap for state, _, _ in outcome.records]
    assert 1 <= caps[780] <= 6
    assert caps[800 + 300 :] == [0] * 400
    assert all(wait_s <= 30.0 for wait_s in outcome.waits_s[-1000:])


@pytest.mark.parametrize("slower", [2.0, 3.0, 5.0])
def test_an_honest_slowdown_is_answered_with_pods(slower: float) -> None:
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60),
        arrivals=poisson(10.0, 0.0, 1000.0, exponential(2.0)),
        lasts_s=1000.0,
        slots=4,
        pods=6,
        speed=lambda at_s, _: 1.0 if at_s < 300 else 1 / slower,
    )

    outcome = simulate(scenario, keep_records=True)

    assert {state.guard.cap for state, _, _ in outcome.records} == {0}
    assert outcome.pods[-1] >= 4.5 * slower


def test_while_no_pod_starts_only_a_few_keep_trying() -> None:
    scenario = Scenario(
        policy=Policy(min_replicas=1, max_replicas=60),
        arrivals=poisson(60.0, 0.0, 1500.0, exponential(2.0)),
        lasts_s=1500.0,
        pods=3,
        start_up_s=lambda _: float("inf"),
    )

    outcome = simulate(scenario)

    assert outcome.pods[-1] == 3 + 2
    assert max(outcome.pods[200:]) <= 2 * 3 + 4
    assert outcome.decisions[-1].reason is Reason.PODS_NOT_STARTING
