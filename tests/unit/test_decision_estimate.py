"""What is learned from samples."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.samples import AT_S, flow, learned, sample

from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.estimate import Flow, learn_service, proven_per_s
from queueworker_operator.decision.model import Objective, Policy, Replicas, Sample
from queueworker_operator.decision.outlook import deadline_s
from queueworker_operator.decision.regime import BUFFERED, TIGHT
from queueworker_operator.decision.state import Arrivals, StartUp, State, Stuck

POLICY = Policy(max_replicas=60)
ONE_POD = Replicas(current=1, ready=1)


def observed(
    state: State, samples: Iterable[Sample], replicas: Replicas = ONE_POD, policy: Policy = POLICY
) -> State:
    for seen in samples:
        state = observe(policy, state, seen, replicas)
    return state


def ticks(per_tick: Iterable[int]) -> list[Sample]:
    """Give a sample each 5 s; between two of them so many jobs became ready."""
    total, samples = 0, [sample()]
    for tick, arrived in enumerate(per_tick):
        total += arrived
        samples.append(sample(5.0 * (tick + 1), enqueued_total=total))
    return samples


def test_the_first_sample_only_sets_the_base_of_the_counters() -> None:
    state = observed(State(), [sample(enqueued_total=10**6, finished_total=10**6)])

    assert state.arrivals.rate_per_s == 0.0
    assert state.observations == 0


def test_a_steady_stream_is_known_within_half_a_minute() -> None:
    assert observed(State(), ticks([50] * 6)).arrivals.rate_per_s == pytest.approx(10.0)


def test_a_burst_is_not_taken_for_a_stream() -> None:
    after_one = observed(State(), ticks([2000]))
    after_six = observed(State(), ticks([2000, 0, 0, 0, 0, 0]))

    assert after_one.arrivals.rate_per_s < 20.0
    assert after_six.arrivals.rate_per_s < 20.0


def test_a_burst_is_forgotten_after_two_minutes_without_arrivals() -> None:
    assert observed(State(), ticks([2000] + [0] * 24)).arrivals.rate_per_s < 0.04


def test_a_sudden_rise_is_followed_at_once_when_the_promise_is_tight() -> None:
    known = learned(rate_per_s=10.0, tight=True)
    policy = replace(POLICY, start_within_s=5.0)

    state = observed(known, ticks([300] * 6)[1:], policy=policy)

    assert state.arrivals.rate_per_s > 40.0


@pytest.mark.parametrize(
    ("ticks", "least", "most"),
    [
        ((5.0, 5.0, 100.0, 121.0), 18.0, 18.0),
        ((5.0, 5.0, 5.0, 1000.0), 0.0, 1.0),
        ((5.0, 1000.0, 5.0), 0.0, 1.0),
        ((1000.0,), 0.0, 0.0),
        ((), 0.0, 0.0),
    ],
)
def test_two_loud_ticks_prove_a_rate_and_a_lump_does_not(
    ticks: tuple[float, ...], least: float, most: float
) -> None:
    assert least <= proven_per_s(Arrivals(ticks=ticks)) <= most


def test_a_missed_observation_does_not_change_the_rate() -> None:
    samples = ticks([50] * 40)

    assert observed(State(), samples[:20] + samples[31:]).arrivals.rate_per_s == pytest.approx(10)


def test_announced_jobs_are_not_forecast() -> None:
    samples = [replace(seen, announced_total=seen.enqueued_total) for seen in ticks([50] * 30)]

    assert observed(State(), samples).arrivals.rate_per_s == 0.0


def test_a_trend_is_seen_only_when_it_is_more_than_noise() -> None:
    rising = observed(State(), ticks([*[50] * 12, *range(50, 170, 10)])).arrivals
    noisy = observed(State(), ticks([40, 60] * 12)).arrivals

    assert 0.15 < rising.slope_per_s2 < 0.19  # 11 jobs/s more within a minute
    assert noisy.slope_per_s2 == 0.0


def test_irregular_arrivals_are_told_from_regular_ones() -> None:
    regular = observed(State(), ticks([20] * 40)).arrivals
    lumpy = observed(State(), ticks([0, 0, 0, 80] * 10)).arrivals

    assert regular.dispersion == 1.0
    assert lumpy.dispersion > 5.0


def finished(count: int, service_s: float, from_s: float = 0.0) -> list[Sample]:
    """Give ten ticks in which `count` jobs of `service_s` finish each."""
    return [
        sample(
            from_s + 5.0 * tick,
            finished_total=tick * count,
            busy_slot_seconds_total=tick * count * service_s,
            service_count=tick * count,
            service_sum_s=tick * count * service_s,
            service_sq_sum_s2=tick * count * service_s**2,
        )
        for tick in range(10)
    ]


def test_the_service_time_is_learned_in_a_few_observations() -> None:
    service = observed(State(), finished(10, 8.0)).service

    assert service.estimate_s == pytest.approx(8.0, rel=0.1)
    assert service.variance_s2 == pytest.approx(0.0, abs=1e-6)


def of_mean(service_s: float, jobs: int) -> Flow:
    """Give a tick in which so many jobs ended, of which the controller knows nothing else."""
    return replace(flow(0), finished=float(jobs), busy_s=jobs * service_s)


@pytest.mark.parametrize(("jobs", "least_s", "most_s"), [(10, 1.5, 1.7), (600, 0.5, 0.6)])
def test_that_jobs_became_shorter_takes_many_of_them_to_believe(
    jobs: int, least_s: float, most_s: float
) -> None:
    service = learned(service_s=2.0).service

    assert least_s <= learn_service(service, of_mean(0.5, jobs), BUFFERED).estimate_s <= most_s


def test_that_jobs_became_longer_is_believed_of_a_few() -> None:
    service = learned(service_s=2.0).service

    assert learn_service(service, of_mean(8.0, 10), BUFFERED).estimate_s == pytest.approx(6.0)


@given(jobs=st.integers(0, 10_000), service_s=st.floats(1e-3, 1e3), known_s=st.floats(1e-3, 1e3))
@settings(deadline=None)
def test_to_believe_a_fall_later_never_makes_jobs_shorter(
    jobs: int, service_s: float, known_s: float
) -> None:
    service, seen = learned(service_s=known_s).service, of_mean(service_s, jobs)
    careful, quick = (
        learn_service(service, seen, regime).estimate_s for regime in (BUFFERED, TIGHT)
    )

    assert quick <= careful <= max(quick, known_s) * (1 + 1e-9)


def test_with_a_tight_promise_shorter_jobs_are_believed_of_a_few_too() -> None:
    service = learned(service_s=2.0).service

    assert learn_service(service, of_mean(0.5, 10), TIGHT).estimate_s == pytest.approx(1.0)


def test_a_long_job_is_known_as_long_before_it_ends() -> None:
    running = [sample(5.0 * tick, busy_slot_seconds_total=5.0 * tick) for tick in range(25)]

    assert observed(State(), running, replicas=ONE_POD).service.estimate_s > 60.0


def test_many_jobs_side_by_side_are_not_taken_for_one_endless_job() -> None:
    samples = [sample(), sample(5.0, busy_slot_seconds_total=400 * 4.0, running=400)]

    assert observed(State(), samples).service.estimate_s == pytest.approx(10.0)


def test_a_pause_of_all_work_ends_what_is_known_about_running_jobs() -> None:
    samples = [
        sample(),
        sample(5.0, busy_slot_seconds_total=5.0),
        sample(10.0, busy_slot_seconds_total=5.0),
    ]

    assert observed(State(), samples).service.busy_for_s == 0.0


def test_the_start_up_time_is_the_prior_until_three_pods_were_ready() -> None:
    def after(count: int) -> StartUp:
        started = replace(
            ONE_POD,
            start_up_count=count,
            start_up_sum_s=12.0 * count,
            start_up_sq_sum_s2=144.0 * count,
        )
        return observed(State(), [sample()], started).start_up

    assert after(2).estimate_s == 30.0
    assert after(3).estimate_s == 12.0
    assert after(3).last_ready_at_s == AT_S


def test_slow_and_quick_starts_widen_the_start_up_time() -> None:
    started = replace(ONE_POD, start_up_count=4, start_up_sum_s=40.0, start_up_sq_sum_s2=500.0)

    assert observed(State(), [sample()], started).start_up.estimate_s == 15.0  # 10 + sqrt(125-100)


def test_start_up_counters_of_a_new_operator_start_anew() -> None:
    before = learned(start_up=StartUp(count=5.0, mean_s=10.0, seen_count=5, seen_sum_s=50.0))
    restarted = replace(ONE_POD, start_up_count=2, start_up_sum_s=20.0, start_up_sq_sum_s2=200.0)

    start_up = observed(before, [sample(5.0)], restarted).start_up

    assert (start_up.count, start_up.mean_s) == (7.0, 10.0)


def test_being_late_shortens_the_deadline_and_being_early_lengthens_nothing() -> None:
    late = [sample(5.0 * tick, started_total=50 * tick, late_total=40 * tick) for tick in range(9)]
    early = [sample(5.0 * tick, started_total=50 * tick) for tick in range(9)]
    known = learned(rate_per_s=10.0)

    worse, better = observed(known, late[1:]), observed(known, early[1:])

    assert worse.lateness > 0 > better.lateness
    assert deadline_s(POLICY, BUFFERED, worse.lateness) < 20.0
    assert deadline_s(POLICY, BUFFERED, better.lateness) == 0.85 * 30.0
    assert deadline_s(POLICY, TIGHT, worse.lateness) == 0.75 * 30.0


@pytest.mark.parametrize(
    ("promise_s", "late", "too_many"),
    [(30.0, 4, False), (30.0, 7, True), (5.0, 7, False), (5.0, 12, True)],
)
def test_as_many_may_be_late_as_the_policy_says_and_twice_that_when_tight(
    promise_s: float, late: int, too_many: bool
) -> None:
    policy = replace(POLICY, start_within_s=promise_s, late_percent=5.0)
    seen = [sample(5.0, started_total=100, late_total=late)]

    assert (observed(learned(rate_per_s=20.0), seen, policy=policy).lateness > 0) == too_many


def test_latency_as_the_objective_plans_with_less_than_half_of_the_promise() -> None:
    hasty = replace(POLICY, objective=Objective.LATENCY)

    assert deadline_s(hasty, BUFFERED, 0.0) == 0.43 * 30.0
    assert deadline_s(hasty, TIGHT, 0.0) == 0.43 * 30.0


def test_a_promise_shorter_than_a_start_up_is_tight_with_hysteresis() -> None:
    def tight(promise_s: float, *, was: bool, count: float = 10.0) -> bool:
        start_up = StartUp(count=count, mean_s=15.0)
        state = learned(start_up=start_up, tight=was)
        policy = replace(POLICY, start_within_s=promise_s)
        return observed(state, [sample(5.0)], policy=policy).tight

    assert [tight(promise_s, was=False) for promise_s in (17.0, 19.0, 21.0)] == [True, False, False]
    assert [tight(promise_s, was=True) for promise_s in (17.0, 19.0, 21.0)] == [True, True, False]
    assert not tight(16.0, was=True, count=2.0)
    assert tight(14.0, was=False, count=2.0)


def test_backlog_beside_idle_slots_is_stuck_after_a_quarter_of_a_minute() -> None:
    samples = [sample(5.0 * tick, ready=5, running=3) for tick in range(1, 5)]

    assert observed(learned(), samples[:3]).stuck.jobs == 0.0
    assert observed(learned(), samples).stuck.jobs == 5.0


def test_a_burst_beside_idle_slots_is_not_stuck() -> None:
    samples = [sample(5.0 * tick, ready=2, running=3) for tick in range(1, 6)]

    stuck = observed(learned(), [*samples, sample(30.0, ready=2002, running=3)]).stuck

    assert stuck.jobs == 2.0


def test_stuck_jobs_stay_stuck_while_all_slots_are_busy_and_go_with_the_backlog() -> None:
    known = learned(stuck=Stuck(jobs=5.0), slots=10)

    busy = observed(known, [sample(5.0, ready=400, running=10)])
    gone = observed(busy, [sample(10.0, ready=2, running=10)])

    assert (busy.stuck.jobs, gone.stuck.jobs) == (5.0, 2.0)


def test_idle_slots_of_draining_pods_do_not_make_the_backlog_stuck() -> None:
    replicas = Replicas(current=2, ready=2, draining=1)
    samples = [sample(5.0 * tick, ready=50, running=10) for tick in range(1, 6)]

    assert observed(learned(slots=10), samples, replicas).stuck.jobs == 0.0


def unclaimed(known: int, strange: Iterable[int], **fields: float) -> list[Sample]:
    """Give a sample each 5 s: so many jobs came that start at once, and so many for no worker."""
    waiting, samples = 0, [sample(**fields)]
    for tick, jobs in enumerate(strange, 1):
        waiting += jobs
        seen = sample(
            5.0 * tick,
            enqueued_total=known * tick + waiting,
            started_total=known * tick,
            ready=waiting,
            unclaimable=waiting,
        )
        samples.append(replace(seen, **fields))
    return samples


def test_jobs_that_keep_coming_for_no_worker_start_no_pods() -> None:
    policy, samples = replace(POLICY, min_replicas=1), unclaimed(0, [250] * 60)

    state = observed(State(), samples, policy=policy)
    decision, _ = decide(policy, state, samples[-1], ONE_POD)

    assert (decision.desired, decision.unclaimable) == (1, 15_000)


def test_jobs_that_keep_coming_and_are_stuck_are_no_stream() -> None:
    samples = [replace(one, unclaimable=0) for one in unclaimed(0, [250] * 60)]

    assert observed(State(), samples[:4]).arrivals.rate_per_s > 5.0
    assert observed(State(), samples).arrivals.rate_per_s < 1.0


@given(st.integers(0, 200), st.lists(st.integers(0, 500), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_a_stream_is_the_same_beside_jobs_for_no_worker(known: int, strange: list[int]) -> None:
    beside = observed(State(), unclaimed(known, strange))
    alone = observed(State(), unclaimed(known, [0] * len(strange)))

    assert beside.arrivals == alone.arrivals
    assert beside.idle == alone.idle


def test_jobs_that_a_new_worker_knows_are_backlog_and_no_burst() -> None:
    samples = unclaimed(20, [100] * 40)
    state = observed(State(), samples)
    seen = replace(samples[-1], at_s=AT_S + 205.0, unclaimable=0)
    after = observe(POLICY, state, seen, ONE_POD)

    assert after.arrivals.rate_per_s <= state.arrivals.rate_per_s
    assert decide(POLICY, state, samples[-1], ONE_POD)[0].desired == 1
    assert decide(POLICY, after, seen, ONE_POD)[0].desired > 10


def test_a_backlog_whose_task_becomes_unknown_hides_no_stream() -> None:
    samples = unclaimed(20, [0] * 60, ready=1000)
    lost = replace(samples[-1], unclaimable=1000)
    state = observed(State(), samples[:-1], replace(ONE_POD, ready=0))

    after = observe(POLICY, state, lost, ONE_POD)

    assert after.arrivals.ticks[-1] == 20


def test_a_sample_that_is_not_newer_or_not_usable_changes_nothing() -> None:
    state = observed(State(), ticks([50] * 6))

    for seen in (sample(30.0, enqueued_total=999), sample(20.0), sample(50.0, ready=float("nan"))):
        assert observe(POLICY, state, seen, ONE_POD) == state


def test_a_clock_that_jumped_back_starts_a_new_base_and_keeps_what_was_learned() -> None:
    state = learned(rate_per_s=10.0, stalled_since_s=AT_S, wanted=((AT_S, 9.0),))

    after = observe(POLICY, state, sample(-3600.0, ready=1), ONE_POD)

    assert after.arrivals == state.arrivals
    assert (after.wanted, after.stalled_since_s) == ((), None)
    assert after.idle.active_at_s == AT_S - 3600.0


def test_a_database_that_lost_its_counters_teaches_nothing_and_is_not_scaled_in() -> None:
    state = learned(rate_per_s=10.0, last=sample(enqueued_total=500))

    after = observe(POLICY, state, sample(5.0), ONE_POD)

    assert after.arrivals == state.arrivals
    assert after.last == sample(5.0)
    assert decide(POLICY, after, sample(6.0), Replicas(current=9, ready=9))[0].desired == 9


def test_the_slots_of_the_last_worker_are_remembered() -> None:
    seen = [sample(5.0, slots_per_pod=4), sample(10.0)]

    assert observed(State(), seen).slots == 4
