"""Jobs that no slot takes: stuck ones, and those for no worker."""

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.deciding import ONE_POD, POLICY, observed
from tests.support.samples import AT_S, learned, sample

from queueworker_operator.decision.decide import decide, observe
from queueworker_operator.decision.model import Replicas, Sample
from queueworker_operator.decision.state import State, Stuck


def test_backlog_beside_idle_slots_is_stuck_after_a_quarter_of_a_minute() -> None:
    samples = [sample(5.0 * tick, ready=5, running=3) for tick in range(1, 5)]

    assert observed(learned(), samples[:3]).stuck.jobs == 0.0
    assert observed(learned(), samples).stuck.jobs == 5.0


def test_a_burst_beside_idle_slots_is_not_stuck() -> None:
    samples = [sample(5.0 * tick, ready=2, running=3) for tick in range(1, 6)]

    stuck = observed(learned(), [*samples, sample(30.0, ready=2002, running=3)]).stuck

    assert stuck.jobs == 2.0


def test_a_backlog_that_is_claimed_slowly_beside_idle_slots_is_not_stuck() -> None:
    backlogs = enumerate((1532, 1302, 959, 512, 235, 28), 1)

    samples = [sample(5.0 * tick, ready=ready, running=3) for tick, ready in backlogs]

    assert observed(learned(), samples).stuck.jobs == 0.0


def test_stuck_jobs_stay_stuck_beside_a_burst_that_is_claimed() -> None:
    backlogs = enumerate((40, 40, 40, 40, 440, 300, 170, 40, 40), 1)

    samples = [sample(5.0 * tick, ready=ready, running=3) for tick, ready in backlogs]

    assert [observed(learned(), samples[:count]).stuck.jobs for count in range(4, 10)] == [40.0] * 6


def test_stuck_jobs_stay_stuck_while_all_slots_are_busy_and_go_with_the_backlog() -> None:
    known = learned(stuck=Stuck(jobs=5.0), slots=10)

    busy = observed(known, [sample(5.0, ready=400, running=10)])
    gone = observed(busy, [sample(10.0, ready=2, running=10)])

    assert (busy.stuck.jobs, gone.stuck.jobs) == (5.0, 2.0)


def test_idle_slots_of_draining_pods_do_not_make_the_backlog_stuck() -> None:
    replicas = Replicas(current=2, ready=2, draining=1)
    samples = [sample(5.0 * tick, ready=50, running=10) for tick in range(1, 6)]

    assert observed(learned(slots=10), samples, replicas).stuck.jobs == 0.0


def unclaimed(known: int, strange: Iterable[int], ready: int | None = None) -> list[Sample]:
    """Give a sample each 5 s: so many jobs came that start at once, and so many for no worker."""
    waiting, samples = 0, [sample(ready=ready or 0)]
    for tick, jobs in enumerate(strange, 1):
        waiting += jobs
        seen = sample(
            5.0 * tick,
            enqueued_total=known * tick + waiting,
            started_total=known * tick,
            ready=waiting if ready is None else ready,
            unclaimable=waiting,
        )
        samples.append(seen)
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
