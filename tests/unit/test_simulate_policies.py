"""The rivals behave as measured and documented; the plan beats them all."""

import pytest
from tests.support.simulated import poisson, workload

from queueworker_operator.decision.model import Fallback, Policy
from queueworker_operator.simulate.compare import compare
from queueworker_operator.simulate.dbc import Dbc
from queueworker_operator.simulate.model import Conditions, Window
from queueworker_operator.simulate.policies import POLICIES, Case
from queueworker_operator.simulate.result import Change, Outcome, reversals
from queueworker_operator.simulate.run import simulate


def burst_of_100(name: str, seed: int) -> Outcome:
    """Give 100 jobs of 5 minutes for 100 pods of one slot, from zero, as it was measured."""
    jobs = workload([(100.0, 300.0)] * 100, 1200.0)
    case = Case(
        policy=Policy(max_replicas=100), workload=jobs, conditions=Conditions(slots=1, seed=seed)
    )
    (scaler,) = POLICIES[name](case)
    return simulate(jobs, case.conditions, scaler)


def sizes(outcome: Outcome) -> list[int]:
    return [change.after for change in outcome.changes]


@pytest.mark.parametrize("seed", range(1, 6))
def test_keda_at_defaults_doubles_each_15_s_and_ends_after_five_minutes(seed: int) -> None:
    outcome = burst_of_100("keda", seed)

    assert sizes(outcome)[:7] == [1, 4, 8, 16, 32, 64, 100]
    full = next(change for change in outcome.changes if change.after == 100)
    assert 75 <= full.at_s - 100 <= 121  # measured: 76 to 119 s
    assert sizes(outcome)[-1] == 0


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_tuned_keda_is_at_its_full_size_in_one_sync(seed: int) -> None:
    outcome = burst_of_100("keda-tuned", seed)

    assert sizes(outcome)[:2] == [1, 100]
    assert outcome.changes[1].at_s - 100 <= 17  # measured: 4 to 15 s


def test_a_silence_brings_the_fallback_that_the_resource_names() -> None:
    jobs = workload([(1.0, 5.0)], 300.0)
    silence = Window(from_s=60.0, until_s=300.0)
    policy = Policy(max_replicas=10, fallback=Fallback(replicas=6, after_s=90.0))

    outcome = simulate(jobs, Conditions(telemetry_gaps=(silence,)), Dbc(policy=policy))

    change = outcome.changes[-1]
    assert (change.after, round(change.at_s)) == (6, 149)


def test_knative_panics_at_a_burst_and_holds_the_most_for_a_minute() -> None:
    outcome = burst_of_100("kpa", 1)

    assert sizes(outcome)[0] >= 10
    assert max(sizes(outcome)) == 100
    shrinks = next(change for change in outcome.changes if change.after < change.before)
    assert shrinks.at_s - 100 > 60


def test_the_plan_made_with_the_future_known_costs_the_least_of_those_that_are_not_late() -> None:
    jobs = poisson(6.0, 3600.0)
    case = Case(policy=Policy(max_replicas=60), workload=jobs, conditions=Conditions())

    found = {one.policy: one.figures for one in compare(case, ["clairvoyant", "keda-tuned", "dbc"])}

    plan = found["clairvoyant"]
    assert plan.late_fraction <= 0.001
    assert plan.pod_hours < found["keda-tuned"].pod_hours
    assert plan.pod_hours < found["dbc"].pod_hours * 1.02


def test_a_scale_in_taken_back_within_two_minutes_is_a_reversal() -> None:
    steps = [(0.0, 0, 4), (100.0, 4, 2), (219.0, 2, 3), (300.0, 3, 2), (421.0, 2, 5)]

    assert reversals([Change(at_s=at, before=b, after=a) for at, b, a in steps]) == 1
