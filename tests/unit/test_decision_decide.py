"""What is decided, and what is said about it."""

import json
from dataclasses import replace
from itertools import pairwise
from time import perf_counter
from typing import Any

import pytest
from tests.support.samples import AT_S, learned, sample

from queueworker_operator.controller.record import Verdict, replay, to_json
from queueworker_operator.decision.decide import decide, observe, weigh
from queueworker_operator.decision.model import (
    Decision,
    Fallback,
    Mode,
    Policy,
    Reason,
    Replicas,
    Sample,
)
from queueworker_operator.decision.state import Arrivals, Evidence, Idle, StartUp, State, Stuck

POLICY = Policy(max_replicas=60)
TIGHT = Policy(start_within_s=5.0, max_replicas=60)


def decided(policy: Policy, state: State, seen: Sample | None, replicas: Replicas) -> Decision:
    return decide(policy, state, seen, replicas)[0]


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


def test_slots_that_long_jobs_hold_are_demand() -> None:
    seen = sample(1.0, ready=4, oldest_age_s=1.0, running=10, slots_per_pod=1)
    pods = Replicas(current=10, ready=10)

    short = decide(POLICY, learned(service_s=1.0), seen, pods)[0]
    long = decide(POLICY, learned(service_s=300.0), seen, pods)[0]

    assert long.desired > 10 >= short.desired


def test_the_job_that_waits_already_is_told_where_its_deadline_is_missed_by_the_most() -> None:
    seen = sample(1.0, ready=1000, oldest_age_s=100.0, running=4, slots_per_pod=4)
    policy = Policy(max_replicas=200, start_within_s=120.0)
    pods = Replicas(current=3, ready=1, starting_ages_s=(0.0, 0.0))

    decision = decided(policy, learned(start_up_s=40.0), seen, pods)

    assert "with 3 pods the job waiting for 47s would wait" in decision.message


def test_announced_jobs_that_would_start_too_late_are_told() -> None:
    due = (0,) * 4 + (100,)
    seen = sample(1.0, due_5s=due, slots_per_pod=4)
    policy = Policy(max_replicas=200, start_within_s=5.0)

    decision, _ = decide(policy, learned(), seen, Replicas(current=1, ready=1))

    assert decision.reason is Reason.FORECAST
    assert "announced jobs would start too late (promise 5s" in decision.message


def test_a_burst_is_answered_in_one_step_before_any_observation_of_it() -> None:
    seen = sample(1.0, ready=2000, oldest_age_s=0.5, enqueued_total=2000)

    decision = decided(replace(POLICY, max_replicas=100), State(), seen, Replicas(current=0))

    assert (decision.desired, decision.reason) == (40, Reason.FIRST_JOB)
    assert decision.message == (
        "0->40: 2000 waiting (oldest 0.5s) + 0/s arriving x 2s/job; no pod is there (promise 30s); "
        "new pods ready in 30s"
    )
    assert decision.slots_assumed


def test_one_job_takes_a_queue_from_zero_to_one_pod() -> None:
    decision = decided(POLICY, State(), sample(ready=1), Replicas(current=0))

    assert (decision.desired, decision.reason) == (1, Reason.FIRST_JOB)


def test_a_queue_where_no_work_was_seen_stays_at_zero() -> None:
    state = observe(POLICY, State(), sample(), Replicas(current=0))

    decision = decided(POLICY, state, sample(1.0), Replicas(current=0))

    assert (decision.desired, decision.message) == (0, "0: no work")
    assert decision.reason is Reason.IDLE


def test_the_status_line_tells_the_numbers_of_a_backlog() -> None:
    state = learned(service_s=2.1, start_up_s=22.0, rate_per_s=25.0)
    seen = sample(2.0, ready=1412, oldest_age_s=18.0, running=60, slots_per_pod=10)

    decision = decided(POLICY, state, seen, Replicas(current=6, ready=6))

    assert decision.reason is Reason.BACKLOG
    assert decision.message == (
        f"6->{decision.desired}: 1412 waiting (oldest 18s) + 25/s arriving x 2.1s/job; with 6 pods "
        "the job arriving 12s from now would wait 48s (promise 30s); new pods ready in 22s"
    )
    assert decision.desired > 6


def test_the_wait_that_is_told_is_the_wait_that_the_numbers_give() -> None:
    state = learned(service_s=2.0, start_up_s=15.0, rate_per_s=0.0)
    seen = sample(1.0, ready=1000, oldest_age_s=1.0, slots_per_pod=10)

    decision = decided(POLICY, state, seen, Replicas(current=2, ready=2))

    assert "the job arriving 4.5s from now would wait 96s" in decision.message  # 1000/10 - 4.5


def test_a_growing_stream_is_answered_before_there_is_a_backlog() -> None:
    state = learned(service_s=2.0, rate_per_s=40.0)

    decision = decided(POLICY, state, sample(running=40), Replicas(current=5, ready=5))

    assert (decision.desired > 5, decision.reason) == (True, Reason.FORECAST)
    assert "the job arriving" in decision.message


def test_pods_already_starting_are_not_asked_for_twice() -> None:
    state = learned(service_s=2.0)
    seen = sample(1.0, ready=1000, oldest_age_s=1.0, slots_per_pod=10)
    asked = decided(POLICY, state, seen, Replicas(current=0)).desired

    for starting in ((), (0.5,) * asked):
        again = decided(POLICY, state, seen, Replicas(current=asked, starting_ages_s=starting))

        assert (again.desired, again.reason) == (asked, Reason.STEADY)


def test_pods_that_are_asked_for_and_not_created_yet_count_as_starting() -> None:
    asked = Replicas(current=10)
    known = learned(service_s=2.0)

    same = decided(POLICY, known, sample(1.0, ready=700, oldest_age_s=1.0), asked)
    more = decided(POLICY, known, sample(1.0, ready=7000, oldest_age_s=1.0), asked)

    assert same.desired == 10  # 500 by new pods within the 10 s they would have, 750 by these
    assert more.desired > 10


def test_what_is_not_enough_at_the_maximum_says_so() -> None:
    policy = replace(POLICY, max_replicas=4)
    seen = sample(1.0, ready=100_000, oldest_age_s=1.0)

    decision = decided(policy, learned(), seen, Replicas(current=2, ready=2))

    assert (decision.desired, decision.reason) == (4, Reason.MAX_REPLICAS)
    assert decision.message.endswith("maxReplicas is 4 (promise 30s)")


def test_replicas_above_the_maximum_come_down_at_once() -> None:
    decision = decided(
        replace(POLICY, max_replicas=4), State(), sample(), Replicas(current=9, ready=9)
    )

    assert (decision.desired, decision.reason) == (4, Reason.MAX_REPLICAS)


def test_the_minimum_is_kept_without_work() -> None:
    policy = replace(POLICY, min_replicas=2)

    decision = decided(policy, learned(), sample(), Replicas(current=0))

    assert (decision.desired, decision.reason) == (2, Reason.MIN_REPLICAS)
    assert decision.message == "0->2: minReplicas is 2"


def test_surplus_goes_only_after_it_was_surplus_for_the_whole_hold() -> None:
    policy = replace(POLICY, min_replicas=1)
    replicas = Replicas(current=6, ready=6)
    state = learned(rate_per_s=5.0)
    loaded = sample(ready=900, oldest_age_s=20.0, running=60)
    _, state = decide(policy, state, loaded, replicas)

    soon, state = decide(policy, state, sample(2.0, running=5), replicas)
    later, _ = decide(policy, state, sample(60.0, running=5), replicas)

    assert (soon.desired, soon.reason) == (6, Reason.STEADY)
    assert later.reason is Reason.SURPLUS
    assert later.desired < 6
    assert "would start each job within 19s (promise 30s)" in later.message


@pytest.mark.parametrize("cold", [True, False])
def test_a_controller_that_knows_nothing_yet_scales_nothing_in(cold: bool) -> None:
    state = learned(observations=11 if cold else 12)

    decision = decided(
        replace(POLICY, min_replicas=1), state, sample(), Replicas(current=6, ready=6)
    )

    assert decision.desired == (6 if cold else 1)


def test_nothing_is_scaled_in_during_a_rollout() -> None:
    replicas = Replicas(current=6, ready=6, rollout=True)

    decision = decided(replace(POLICY, min_replicas=1), learned(), sample(), replicas)

    assert (decision.desired, decision.reason) == (6, Reason.ROLLOUT)
    assert decision.message.endswith("no scale-in during a rollout")


def test_the_last_pod_goes_after_its_break_even_time() -> None:
    state = learned(idle=Idle(active_at_s=AT_S - 14.0))
    replicas = Replicas(current=1, ready=1)

    kept, state = decide(POLICY, state, sample(0.0), replicas)
    gone, _ = decide(POLICY, state, sample(1.5), replicas)

    assert (kept.desired, kept.reason) == (1, Reason.STEADY)
    assert (gone.desired, gone.reason) == (0, Reason.IDLE)
    assert gone.message == "1->0: no work for 16s"


@pytest.mark.parametrize(
    ("policy_slots", "sample_slots", "state_slots", "expected"),
    [
        (7, 5, 3, (7, False)),
        (None, 5, 3, (5, False)),
        (None, None, 3, (3, False)),
        (None, None, 0, (4, True)),
    ],
)
def test_slots_come_from_the_policy_the_workers_or_the_memory(
    policy_slots: int | None, sample_slots: int | None, state_slots: int, expected: tuple[int, bool]
) -> None:
    policy = replace(POLICY, slots_per_pod=policy_slots, default_slots=4)

    decision = decided(
        policy, State(slots=state_slots), sample(slots_per_pod=sample_slots), Replicas(current=0)
    )

    assert (decision.slots, decision.slots_assumed) == expected


def test_a_tight_promise_keeps_spare_slots() -> None:
    buffered, tight = learned(rate_per_s=20.0), learned(rate_per_s=20.0, tight=True)
    replicas = Replicas(current=2, ready=2)

    few = decided(POLICY, buffered, sample(running=20), replicas).desired
    more = decided(TIGHT, tight, sample(running=20), replicas)

    assert more.desired > few
    assert more.reason is Reason.FORECAST


@pytest.mark.parametrize(
    ("newest", "tight", "desired"),
    [((121.0, 144.0), True, 3), ((121.0, 144.0), False, 1), ((10.0, 1000.0), True, 1)],
)
def test_a_jump_that_lasts_for_two_ticks_is_provided_for_when_tight(
    newest: tuple[float, float], tight: bool, desired: int
) -> None:
    arrivals = Arrivals(rate_per_s=8.0, ticks=(*(40.0,) * 58, *newest))
    state = learned(tight=tight, arrivals=arrivals)

    decision = decided(
        TIGHT if tight else POLICY, state, sample(running=10), Replicas(current=2, ready=2)
    )

    assert decision.desired == desired


def test_too_few_free_slots_are_named_when_no_deadline_is_missed() -> None:
    state = learned(rate_per_s=19.7, service_s=1.0, tight=True)

    decision = decided(TIGHT, state, sample(running=19), Replicas(current=2, ready=2))

    assert decision.desired == 3
    assert "with 2 pods too few slots would be free (promise 5s)" in decision.message


def test_announced_jobs_are_provided_for_before_they_are_due() -> None:
    state = learned(tight=True)
    due = (0,) * 4 + (300,)

    decision = decided(TIGHT, state, sample(due_5s=due, running=1), Replicas(current=1, ready=1))

    assert decision.desired > 1
    assert "announced jobs would start too late" in decision.message


def test_jobs_that_nobody_claims_ask_for_no_pods() -> None:
    seen = sample(ready=500, oldest_age_s=900.0, unclaimable=300.0)

    decision = decided(
        replace(POLICY, min_replicas=1),
        learned(stuck=Stuck(jobs=200.0)),
        seen,
        Replicas(current=1, ready=1),
    )

    assert (decision.desired, decision.unclaimable) == (1, 500.0)


@pytest.mark.parametrize(("jobs", "after"), [(900, 1), (20, 20)])
def test_pods_that_were_wanted_for_jobs_of_nobody_go_as_soon_as_that_is_known(
    jobs: int, after: int
) -> None:
    there = Replicas(current=20, ready=20)
    policy = replace(POLICY, min_replicas=1, slots_per_pod=4)
    state, desired = learned(wanted=((AT_S, 20.0),)), []
    for after_s in (5.0, 10.0, 15.0, 20.0):
        seen = sample(after_s, ready=jobs, running=2)
        state = observe(policy, state, seen, there)
        decision, state = decide(policy, state, seen, there)
        desired.append(min(decision.desired, there.current))

    assert desired == [20, 20, 20, after]


def test_the_age_of_unclaimable_jobs_does_not_count() -> None:
    seen = sample(ready=30, oldest_age_s=9000.0, running=10, unclaimable=10.0)
    known = learned(rate_per_s=10.0)

    decision = decided(POLICY, known, seen, Replicas(current=2, ready=2))

    assert "20 waiting (oldest 2s)" in decision.message


def test_pods_that_do_not_start_bound_what_is_asked_for() -> None:
    state = learned(start_up=StartUp(count=10, mean_s=15.0, last_ready_at_s=AT_S - 500.0))
    replicas = Replicas(current=40, ready=3, starting_ages_s=(100.0,) * 37)
    seen = sample(ready=9000, oldest_age_s=100.0, running=30)

    first, state = decide(POLICY, state, seen, replicas)
    later, _ = decide(POLICY, state, replace(seen, at_s=AT_S + 601), replicas)

    assert (first.desired, first.reason) == (2 * 3 + 4, Reason.PODS_NOT_STARTING)
    assert later.desired == 3 + 2
    assert "no pod becomes ready (for 601s)" in later.message
    assert "more wanted" in later.message


def test_a_stalled_pod_that_is_not_needed_is_told_without_a_change() -> None:
    replicas = Replicas(current=2, ready=1, starting_ages_s=(35.0,))
    policy = replace(POLICY, min_replicas=2)

    decision = decided(policy, learned(start_up_s=20.0), sample(), replicas)

    assert (decision.desired, decision.reason) == (2, Reason.PODS_NOT_STARTING)
    assert decision.message.endswith("no pod becomes ready (for 0s)")


def test_overdue_pods_are_replaced_a_few_at_a_time() -> None:
    start_up = StartUp(count=10, mean_s=15.0, last_ready_at_s=AT_S)
    replicas = Replicas(current=12, ready=8, starting_ages_s=(50.0,) * 4)
    state = learned(service_s=2.0, rate_per_s=50.0, start_up=start_up)

    decision = decided(POLICY, state, sample(ready=300, oldest_age_s=9.0, running=80), replicas)

    healthy = decided(
        POLICY,
        state,
        sample(ready=300, oldest_age_s=9.0, running=80),
        Replicas(current=8, ready=8),
    )
    assert decision.desired == healthy.desired + 3  # a quarter of nine


def test_a_pod_of_unknown_clock_counts_as_just_created() -> None:
    seen = sample(ready=400, oldest_age_s=1.0)
    strange = Replicas(current=3, starting_ages_s=(float("nan"), -5.0, 0.0))
    plain = Replicas(current=3, starting_ages_s=(0.0, 0.0, 0.0))

    assert decided(POLICY, learned(), seen, strange) == decided(POLICY, learned(), seen, plain)


def test_a_falling_stream_halves_the_forecast_at_most() -> None:
    arrivals = Arrivals(rate_per_s=40.0, slope_per_s2=-5.0)

    decision = decided(
        POLICY, learned(arrivals=arrivals), sample(running=40), Replicas(current=5, ready=5)
    )

    assert decision.forecast_rate_per_s == 20.0


def test_an_absurd_number_of_slots_holds_nobody_up() -> None:
    began_s = perf_counter()
    decision, _ = decide(
        Policy(),
        learned(rate_per_s=1.0),
        sample(6, ready=10, slots_per_pod=2**31),
        Replicas(current=2, ready=2),
    )

    assert decision.slots == 10_000
    assert perf_counter() - began_s < 5


def test_between_two_observations_small_steps_out_wait_and_large_ones_do_not() -> None:
    state = learned(rate_per_s=10.0, service_s=10.0)
    there = Replicas(current=10, ready=10)
    few, many = (sample(1.0, ready=jobs, oldest_age_s=9.0, running=100) for jobs in (262, 900))

    at_once = decided(POLICY, state, replace(few, at_s=AT_S), there)
    between = decided(POLICY, state, few, there)
    in_time = decided(POLICY, state, replace(few, at_s=AT_S + 5), there)
    burst = decided(POLICY, state, many, there)

    assert at_once.desired in {11, 12}
    assert (between.desired, between.reason) == (10, Reason.STEADY)
    assert in_time.desired == at_once.desired
    assert burst.desired > 20


def test_pods_that_are_not_needed_any_more_go_together() -> None:
    policy, rounds = replace(POLICY, min_replicas=1), range(0, 90, 5)
    state = replace(learned(rate_per_s=1.0), observations=30)
    current, changes = 12, []
    wanted = tuple((AT_S - 45 + 2.5 * step, 12.0 - step / 2) for step in range(18))
    state = replace(state, wanted=wanted)
    for after_s in rounds:
        seen = sample(float(after_s), running=1)
        state = observe(policy, state, seen, Replicas(current=current, ready=current))
        decision, state = decide(policy, state, seen, Replicas(current=current, ready=current))
        if decision.desired != current:
            changes.append(after_s)
            current = decision.desired

    assert current == 1
    assert 2 <= len(changes) <= 5
    assert all((later - earlier) % 15 == 0 for earlier, later in pairwise(changes))


@pytest.mark.parametrize(
    ("ages_s", "jobs", "more", "fields"),
    [
        ((10.0, 5.0), 302, 1, {}),
        ((10.0, 5.0), 302, 1, {"evidence": Evidence(ticks=((100.0, 500.0, 60.0),))}),
        ((10.0, 5.0), 302, 0, {"evidence": Evidence(ticks=((100.0, 500.0, 65.0),))}),
        ((10.0, 5.0), 302, 0, {"tight": True}),
        ((10.0, 5.0), 500, 0, {}),
        ((10.0, 9.5), 308, 0, {}),
        ((14.0, 5.0), 302, 0, {}),
        ((), 262, 0, {}),
    ],
)
def test_a_third_step_out_in_a_row_takes_one_pod_more(
    ages_s: tuple[float, ...], jobs: int, more: int, fields: dict[str, Any]
) -> None:
    state = learned(rate_per_s=10.0, service_s=10.0, **fields)
    there = Replicas(current=10 + len(ages_s), ready=10, starting_ages_s=ages_s)
    seen = sample(ready=jobs, oldest_age_s=9.0, running=100)

    plan = weigh(POLICY, state, seen, there).plan
    decision = decided(POLICY, state, seen, there)

    assert plan.enough > there.current
    assert decision.desired == plan.enough + more


def test_the_last_pod_that_is_allowed_is_no_limit_while_it_is_enough() -> None:
    state = learned(rate_per_s=10.0, service_s=10.0)
    there = Replicas(current=12, ready=10, starting_ages_s=(10.0, 5.0))
    seen = sample(ready=302, oldest_age_s=9.0, running=100)
    enough = weigh(POLICY, state, seen, there).plan.enough

    decision = decided(replace(POLICY, max_replicas=enough), state, seen, there)

    assert (decision.desired, decision.reason) == (enough, Reason.BACKLOG)


def test_a_small_step_that_gathers_climbs_only_when_it_is_taken() -> None:
    state = learned(rate_per_s=10.0, service_s=10.0)
    there = Replicas(current=12, ready=10, starting_ages_s=(10.0, 5.0))
    seen = sample(1.0, ready=302, oldest_age_s=9.0, running=100)

    verdict = weigh(POLICY, state, seen, there)

    assert verdict.plan.enough == 13
    assert (verdict.desired, verdict.restrained.climbing) == (12, False)
