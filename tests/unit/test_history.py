"""The checker itself: valid histories pass, and each invariant has broken ones that are named."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.history import (
    ENDS,
    TERMINAL,
    Event,
    History,
    Kind,
    check,
    invariants,
)
from tests.support.history.broken_ends import (
    bury_at_the_first_crash,
    charge_a_release,
    charge_what_never_started,
    count_a_success_twice,
    double_an_effect,
    forget_the_end_of_a_start,
    keep_the_effect_of_a_dead_job,
    leave_the_head_of_the_lane,
    let_a_crash_go_uncharged,
    let_a_crash_go_uncounted,
    let_a_job_wait_beside_an_idle_slot,
    let_an_older_run_overwrite_outside,
    lose_an_effect,
    lose_an_outside_effect,
    lose_the_record_of_a_failure,
    overtake_far,
    start_in_the_wrong_order,
    survive_the_third_crash,
    write_after_a_release,
)
from tests.support.history.broken_jobs import (
    accept_a_release_after_rescue,
    accept_a_write_twice,
    acknowledge_by_id,
    bury_after_success,
    claim_what_is_running,
    enqueue_again_after_success,
    forget_a_committed_enqueue,
    forget_the_key_of_a_job,
    give_a_key_to_two_jobs,
    keep_a_rolled_back_enqueue,
    lease_by_the_clients_clock,
    let_a_row_vanish,
    lose_a_job,
    never_claim_a_job,
    rescue_a_live_lease,
    reuse_a_token,
    run_what_was_never_enqueued,
    succeed_twice,
    succeed_without_a_client,
    write_under_an_older_token,
)
from tests.support.history.healthy import healthy
from tests.support.history.record import fold

seeds = st.integers(0, 2**32).map(random.Random)
Bug = Callable[[History], History]
BUGS: dict[Bug, str] = {
    lose_a_job: "I1",
    never_claim_a_job: "I1",
    run_what_was_never_enqueued: "I1",
    forget_a_committed_enqueue: "I1",
    keep_a_rolled_back_enqueue: "I1",
    let_a_row_vanish: "I1",
    give_a_key_to_two_jobs: "I1",
    forget_the_key_of_a_job: "I1",
    enqueue_again_after_success: "I1",
    succeed_twice: "I2",
    bury_after_success: "I2",
    acknowledge_by_id: "I3",
    succeed_without_a_client: "I3",
    reuse_a_token: "I3",
    accept_a_release_after_rescue: "I3",
    accept_a_write_twice: "I3",
    write_under_an_older_token: "I3",
    claim_what_is_running: "I4",
    rescue_a_live_lease: "I4",
    lease_by_the_clients_clock: "I4",
    lose_an_effect: "I5",
    double_an_effect: "I5",
    keep_the_effect_of_a_dead_job: "I5",
    lose_an_outside_effect: "I5",
    let_an_older_run_overwrite_outside: "I5",
    start_in_the_wrong_order: "I6",
    leave_the_head_of_the_lane: "I6",
    let_a_job_wait_beside_an_idle_slot: "I6",
    overtake_far: "I6",
    forget_the_end_of_a_start: "I7",
    charge_a_release: "I7",
    count_a_success_twice: "I7",
    lose_the_record_of_a_failure: "I7",
    let_a_crash_go_uncounted: "I8",
    let_a_crash_go_uncharged: "I8",
    survive_the_third_crash: "I8",
    bury_at_the_first_crash: "I8",
    charge_what_never_started: "I8",
    write_after_a_release: "I9",
}


@settings(max_examples=100, deadline=None)
@given(rng=seeds)
def test_a_healthy_history_has_no_violation(rng: random.Random) -> None:
    assert check(healthy(rng)) == []


def test_healthy_histories_show_each_kind_of_end() -> None:
    kinds = {event.kind for event in healthy(random.Random(1)).events}

    assert kinds >= ENDS - {Kind.CANCELLED}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
@settings(max_examples=10, deadline=None)
@given(rng=seeds)
def test_a_broken_history_is_caught_and_the_invariant_named(bug: Bug, rng: random.Random) -> None:
    assert BUGS[bug] in invariants(bug(healthy(rng)))


def test_each_invariant_has_a_broken_history() -> None:
    assert set(BUGS.values()) == {f"I{number}" for number in range(1, 10)}


def test_jobs_that_are_left_alone_are_not_lost() -> None:
    assert check(History(events=[Event(Kind.ENQUEUED, 1)], left_alone={1})) == []


def test_a_cancelled_job_has_ended_whether_it_ran_or_waited() -> None:
    waiting = [Event(Kind.ENQUEUED, 1), Event(Kind.CANCELLED, 1)]
    running = [Event(Kind.ENQUEUED, 2), Event(Kind.CLAIMED, 2, 7), Event(Kind.CANCELLED, 2, 7)]

    assert check(History(events=waiting + running)) == []
    assert Kind.CANCELLED in TERMINAL


def test_a_burial_is_one_event_of_two_rows_and_a_lonely_one_is_no_success() -> None:
    columns = (0.0, 1, 0, 1, 1, 0, None, 0.0, None)
    rows = [("succeeded", 1, 5, *columns, "xid 1"), ("buried", 1, 0, *columns, "xid 1")]
    lonely = [("buried", 2, 0, *columns, "xid 2")]

    assert [(e.kind, e.token) for e in fold(rows + lonely)] == [(Kind.DEAD, 5), (Kind.DEAD, 0)]
