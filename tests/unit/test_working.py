"""A decision worked out by hand: the numbers are the decision's own, and one pod fewer has a price."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from tests.support.decisions import CONDITIONS, Recorder, bursts
from tests.support.samples import QUIET, learned, sample

from queueworker_operator.cli.worked import document_of, text_of
from queueworker_operator.controller.record import Verdict, difference, to_json, work_out_again
from queueworker_operator.decision.decide import decide, weigh
from queueworker_operator.decision.model import Floor, Mode, Policy, Replicas
from queueworker_operator.decision.state import State
from queueworker_operator.decision.working import work_out
from queueworker_operator.simulate.run import simulate

SAMPLE = replace(QUIET, at_s=1000.0, ready=412, oldest_age_s=2.0, enqueued_total=412)


@cache
def recorded(promise_s: float) -> tuple[dict[str, Any], ...]:
    """Run bursts and their ends; give the records of all changes."""
    recorder = Recorder(policy=Policy(max_replicas=60, start_within_s=promise_s))
    simulate(bursts(900.0), CONDITIONS, recorder)
    return tuple(recorder.records)


def changes(promise_s: float) -> Iterator[dict[str, Any]]:
    yield from (
        record
        for record in recorded(promise_s)
        if record["decision"]["desired"] != record["decision"]["current"]
    )


@pytest.mark.parametrize("promise_s", [30.0, 5.0])
def test_every_decision_of_a_burst_replays_bit_for_bit_and_can_be_worked_out(
    promise_s: float,
) -> None:
    records = recorded(promise_s)

    assert len(records) > 20
    assert [difference(record) for record in records] == [None] * len(records)
    for record in records:
        text = text_of(record, record["decision"]["message"])
        assert max(map(len, text.splitlines())) <= 80
        assert "\x1b" not in text


@pytest.mark.parametrize("promise_s", [30.0, 5.0])
def test_a_scale_out_names_the_deadline_that_one_pod_fewer_would_miss(promise_s: float) -> None:
    out = [r for r in changes(promise_s) if r["decision"]["desired"] > r["decision"]["current"]]
    told = [working.fewer for record in out if (working := work_out_again(record))]

    assert len(told) == len(out) > 2
    reasons = ("must have started", "busy with the stream alone", "added twice just now")
    for text in told:
        assert any(reason in text for reason in reasons), text


def test_a_scale_in_says_why_not_one_pod_fewer() -> None:
    into = [r for r in changes(30.0) if r["decision"]["desired"] < r["decision"]["current"]]
    told = [working.fewer for record in into if (working := work_out_again(record))]

    assert len(told) == len(into) > 2
    assert [text for text in told if text.endswith("every deadline would hold, too")] == []


def test_the_fewer_pods_miss_a_deadline_of_the_table_and_those_decided_for_none() -> None:
    policy, replicas = Policy(max_replicas=50, slots_per_pod=4), Replicas(current=0)
    working = work_out(weigh(policy, State(), SAMPLE, replicas))
    counted = [point for point in working.points if point.counts]

    assert [point for point in counted if point.decided < point.due - 1e-6] == []
    assert [point for point in counted if point.fewer < point.due - 1e-6] != []
    assert "of them would not have" in working.fewer
    assert "too late (promise 30s" in working.fewer or "without margin" in working.fewer


def test_a_limit_is_named() -> None:
    calm = replace(SAMPLE, ready=0, oldest_age_s=0)
    lowest = Policy(min_replicas=3)
    working = work_out(weigh(lowest, State(), calm, Replicas(current=3, ready=3)))
    highest = Policy(max_replicas=2, slots_per_pod=1)
    bound = work_out(weigh(highest, State(), SAMPLE, Replicas(current=0)))

    assert working.fewer == "with 2 pods: minReplicas is 3"
    assert bound.bounds[0].why.endswith("(maxReplicas, and not enough); there: 0")
    assert (bound.bounds[-2].pods, bound.bounds[-1].pods) == ("0..2", "2")


def test_pods_held_for_want_of_samples_say_so() -> None:
    calm = replace(SAMPLE, ready=0, oldest_age_s=0)
    working = work_out(weigh(Policy(), State(), calm, Replicas(current=3, ready=3)))

    assert working.fewer == (
        "with 2 pods: nothing is scaled in before enough is known (0 of 12 samples)"
    )


def test_a_decision_that_nothing_was_weighed_for_is_told_in_its_own_words() -> None:
    policy, replicas = Policy(mode=Mode.PAUSED), Replicas(current=3)
    decision, _ = decide(policy, State(), SAMPLE, replicas)
    verdict = Verdict(
        policy=policy, state=State(), sample=SAMPLE, replicas=replicas, decision=decision
    )
    record = to_json(verdict, None)

    assert document_of(record) is None
    assert "paused, nothing is changed" in text_of(record, decision.message)


def test_one_bit_of_difference_is_a_difference() -> None:
    policy, replicas = Policy(), Replicas(current=0)
    decision, _ = decide(policy, State(), SAMPLE, replicas)
    verdict = Verdict(
        policy=policy, state=State(), sample=SAMPLE, replicas=replicas, decision=decision
    )
    record = to_json(verdict, decision.desired)
    other = record | {"decision": record["decision"] | {"start_up_s": 30.000000000000004}}

    assert difference(record) is None
    assert difference(other) == "start_up_s 30.000000000000004 now 30.0"


def test_a_target_that_was_asked_for_another_number_is_a_difference() -> None:
    policy, replicas = Policy(), Replicas(current=0)
    decision, _ = decide(policy, State(), SAMPLE, replicas)
    verdict = Verdict(
        policy=policy, state=State(), sample=SAMPLE, replicas=replicas, decision=decision
    )

    assert difference(to_json(verdict, decision.desired + 1)) == (
        f"asked for {decision.desired + 1}, decided {decision.desired}"
    )


def test_what_bounds_a_decision_is_named_one_by_one() -> None:
    policy = Policy(max_replicas=50, floor=Floor(replicas=2, why="schedule '0 8 * * *'"))
    state = learned(service_s=2.0, rate_per_s=20.0)
    state = replace(state, guard=replace(state.guard, cap=9))
    verdict = weigh(policy, state, sample(ready=20, oldest_age_s=1), Replicas(current=5, ready=5))
    held = replace(verdict.restrained, refused=4, rollout=True, saturated=True, climbing=True)
    told = {
        bound.name: (bound.pods, bound.why)
        for bound in work_out(replace(verdict, restrained=held)).bounds
    }

    assert told["stalled"] == (f"<= {held.wish}", "no pod becomes ready; 4 pods more wanted")
    assert told["climb"] == ("+1", "pods were added twice just now, more will be")
    assert told["saturation"] == ("<= 9", "more pods finished no more jobs; it binds")
    assert told["rollout"] == (">= 5", "no scale-in meanwhile")
    assert told["schedule"] == (">= 2", "schedule '0 8 * * *'")
    loose = work_out(replace(verdict, restrained=replace(held, saturated=False)))
    assert "does not bind" in next(b.why for b in loose.bounds if b.name == "saturation")


def test_one_pod_fewer_during_a_rollout_is_not_asked_for() -> None:
    state, calm = learned(rate_per_s=1.0), Replicas(current=3, ready=3)
    verdict = weigh(Policy(), state, sample(), calm)
    during = replace(verdict, desired=3, restrained=replace(verdict.restrained, rollout=True))

    assert work_out(during).fewer == "with 2 pods: nothing is scaled in during a rollout"


def test_the_last_pod_waits_for_the_first_job() -> None:
    verdict = weigh(Policy(), learned(), sample(), Replicas(current=1, ready=1))
    kept = replace(verdict, desired=1, plan=replace(verdict.plan, keep=1, enough=1))

    assert work_out(kept).fewer == "with 0 pods: the first job would find no pod"


def test_a_pod_that_nothing_keeps_is_told_so() -> None:
    state, many = learned(rate_per_s=0.1), Replicas(current=9, ready=9)
    verdict = weigh(Policy(max_replicas=9), state, sample(), many)
    spare = replace(verdict, desired=9, restrained=replace(verdict.restrained, held=0))

    assert work_out(spare).fewer == "with 8 pods: every deadline would hold, too"


def test_the_pod_that_a_climb_takes_is_told_so() -> None:
    state, many = learned(rate_per_s=0.1), Replicas(current=9, ready=9)
    verdict = weigh(Policy(max_replicas=9), state, sample(), many)
    climbed = replace(verdict.restrained, held=0, climbing=True)

    told = work_out(replace(verdict, desired=9, restrained=climbed)).fewer

    assert told.startswith("with 8 pods: pods were added twice just now")


def test_jobs_announced_together_are_told_as_such() -> None:
    state = learned(service_s=5.0, tight=True)
    policy, now = Policy(start_within_s=5.0, max_replicas=100), sample(due_5s=(0, 0, 0, 0, 400))
    verdict = weigh(policy, state, now, Replicas(current=1, ready=1))

    assert verdict.desired > 2
    assert work_out(verdict).fewer.endswith("jobs announced together")


def test_long_jobs_show_what_they_occupy_in_the_load() -> None:
    state = learned(service_s=300.0, rate_per_s=0.2)
    busy = sample(running=60, ready=5, oldest_age_s=2.0)
    working = work_out(weigh(Policy(max_replicas=90), state, busy, Replicas(current=15, ready=15)))

    told = next(text for name, text in working.forecast if name == "load")
    assert told.endswith("with what long jobs occupy mixed in")
