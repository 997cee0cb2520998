"""Jobs that come into a paused queue are no arrivals before it is resumed, and no stream then."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.support.lags import lag
from tests.support.targets import PodTarget

from queueworker_operator.controller.watch import Assignment, Watch
from queueworker_operator.decision.model import Policy, Sample
from queueworker_operator.lag import QueueLag
from queueworker_operator.lag.pauses import NO_PAUSES
from queueworker_operator.lag.sample import NONE_UNKNOWN, pool


def pooled(readings: list[list[QueueLag]]) -> list[Sample]:
    pauses, samples = NO_PAUSES, []
    for lags in readings:
        pauses = pauses.refresh(lags)
        samples.append(pool(lags, 30.0, NONE_UNKNOWN, pauses))
    return samples


def reading(enqueued: int, promoted: int = 0, *, paused: bool, queue: str = "mail") -> QueueLag:
    return lag(queue, enqueued_total=enqueued, promoted_total=promoted, paused=paused)


def test_jobs_of_a_paused_queue_arrive_at_its_resume_and_were_announced() -> None:
    samples = pooled(
        [
            [reading(100, 10, paused=False)],
            [reading(100, 10, paused=True)],
            [reading(160, 12, paused=True)],
            [reading(200, 15, paused=True)],
            [reading(200, 15, paused=False)],
            [reading(230, 15, paused=False)],
        ]
    )

    assert [sample.enqueued_total for sample in samples] == [110, 110, 110, 110, 215, 245]
    assert [sample.unannounced_total for sample in samples] == [100, 100, 100, 100, 100, 130]


def test_the_pause_of_one_queue_hides_no_arrival_of_another() -> None:
    samples = pooled(
        [
            [reading(5, paused=True, queue="a"), reading(5, paused=False, queue="b")],
            [reading(50, paused=True, queue="a"), reading(7, paused=False, queue="b")],
        ]
    )

    assert [sample.unannounced_total for sample in samples] == [10, 12]


def test_a_restored_database_with_smaller_counters_leaves_none_below_zero() -> None:
    samples = pooled(
        [[reading(total, total, paused=True)] for total in (100, 900, 20)]
        + [[reading(30, 30, paused=False)]]
    )

    assert all(0 <= sample.announced_total <= sample.enqueued_total for sample in samples)
    assert samples[-1].enqueued_total == 60


steps = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), min_size=1, max_size=30
)


@given(steps)
def test_counters_never_fall_and_a_stream_is_what_was_enqueued_outside_of_pauses(
    moves: list[tuple[int, int, bool]],
) -> None:
    enqueued = promoted = outside = 0
    readings = [[reading(0, paused=False)]]
    seen_paused = False
    for more, due, paused in moves:
        enqueued, promoted = enqueued + more, promoted + due
        outside += more if not paused or not seen_paused else 0  # the first pause begins unseen
        seen_paused = seen_paused or paused
        readings.append([reading(enqueued, promoted, paused=paused)])

    samples = pooled([*readings, [reading(enqueued, promoted, paused=False)]])

    for before, after in pairwise(samples):
        assert after.enqueued_total >= before.enqueued_total
        assert after.announced_total >= before.announced_total
        assert after.unannounced_total >= before.unannounced_total
    assert samples[-1].unannounced_total == outside
    assert samples[-1].enqueued_total == enqueued + promoted


def test_what_is_set_aside_is_stored_and_an_older_record_has_none() -> None:
    target = PodTarget("", ("mail",))
    assignment = Assignment(key="shop/mail", queues=("mail",), policy=Policy(), target=target)
    watch, later = Watch(assignment=assignment), Watch(assignment=assignment)
    watch.pauses = NO_PAUSES.refresh([reading(1, paused=True)]).refresh([reading(9, paused=True)])
    record = json.loads(json.dumps(watch.to_record()))

    later.restore(record)
    assert later.pauses == watch.pauses

    later.restore({name: value for name, value in record.items() if name != "pauses"})
    assert later.pauses == NO_PAUSES
