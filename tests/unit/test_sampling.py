"""From a reading to a sample; and when the estimators fold it."""

from collections.abc import Collection

import pytest
from tests.support.lags import lag

from queueworker_operator.controller.ports import Reading
from queueworker_operator.controller.sampling import is_due, sampled
from queueworker_operator.controller.watch import Assignment, Watch
from queueworker_operator.decision.model import PodId, Policy, Replicas, Sample
from queueworker_operator.errors import AccessRefused, GrantMissing, LagUnavailable
from queueworker_operator.lag import Lags, QueueLag
from queueworker_operator.lag.sample import empty
from queueworker_operator.report import Fact


class Nothing:
    """A target that is never asked here."""

    def read(self) -> Replicas | None:
        return None

    def pods(self) -> Collection[PodId]:
        return ()

    def stamp(self) -> object:
        return object()

    def all_pods(self) -> Collection[PodId]:
        return ()

    def take_gone(self) -> tuple[PodId, ...]:
        return ()

    def grace_s(self) -> float:
        return 30.0

    async def look(self) -> None:
        raise AssertionError

    async def scale(self, desired: int) -> None:
        raise AssertionError(desired)

    async def prefer(
        self, victims: Collection[str], leaving: Collection[str] = ()
    ) -> Collection[str]:
        raise AssertionError(victims, leaving)


def watch(*queues: str) -> Watch:
    return Watch(
        assignment=Assignment(
            key="default/mail", queues=queues, policy=Policy(), target=Nothing(), generation=1
        )
    )


def reading(*lags: QueueLag, read_at_s: float = 0.0) -> Reading:
    return Reading(
        read_at_s=read_at_s,
        lags=Lags(lags[0].at_s if lags else 0.0, {lag.queue: lag for lag in lags}),
    )


def at(at_s: float) -> Sample:
    return empty(at_s)


def test_samples_a_second_apart_are_folded_each_five_seconds() -> None:
    folded: list[float] = []
    for second in range(61):
        sample = at(1000.0 + second + 0.01 * (second % 3))
        if is_due(sample, folded[-1] if folded else None):
            folded.append(sample.at_s)

    assert len(folded) == 13


def test_a_clock_that_went_back_is_followed_at_once() -> None:
    assert is_due(at(500.0), observed_at_s=1000.0)
    assert not is_due(at(1001.0), observed_at_s=1000.0)


@pytest.mark.parametrize(
    ("trouble", "fact"),
    [
        (LagUnavailable("away"), Fact.METRICS_UNAVAILABLE),
        (AccessRefused("refused"), Fact.ACCESS_REFUSED),
        (GrantMissing("missing"), Fact.GRANT_MISSING),
    ],
)
def test_a_reading_that_failed_is_no_sample_and_says_why(
    trouble: LagUnavailable, fact: Fact
) -> None:
    found = sampled(watch("mail"), Reading(read_at_s=0.0, trouble=trouble), 3)

    assert found.sample is None
    assert found.facts == {fact: str(trouble)}


def test_a_queue_without_a_row_is_empty_while_another_has_one() -> None:
    found = sampled(watch("mail", "new"), reading(lag("mail", ready=4)), 3)

    assert found.sample is not None
    assert found.sample.ready == 4
    assert "into new " in found.facts[Fact.QUEUE_MISSING]


def test_without_any_row_replicas_are_held() -> None:
    found = sampled(watch("mail"), reading(), 3)

    assert found.sample is None
    assert "the 3 replicas are held" in found.facts[Fact.WAITING]


def test_the_first_worker_has_a_minute_from_the_first_replica() -> None:
    held = watch("mail")
    sampled(held, reading(read_at_s=5.0), 0)

    facts = {at_s: set(sampled(held, reading(read_at_s=at_s), 1).facts) for at_s in (100, 159, 160)}

    waiting, trouble = {Fact.WAITING}, {Fact.METRICS_UNAVAILABLE}
    assert facts == {100: waiting, 159: waiting, 160: trouble}


def test_a_row_that_was_there_and_is_gone_is_a_trouble_at_once() -> None:
    held = watch("mail")
    sampled(held, reading(lag("mail", ready=1)), 1)

    assert Fact.METRICS_UNAVAILABLE in sampled(held, reading(), 1).facts


def test_without_any_row_and_without_replicas_there_is_no_work() -> None:
    found = sampled(watch("mail"), reading(), 0)

    assert found.sample is not None
    assert found.sample.ready == 0


def test_queues_of_others_in_the_same_database_do_not_count() -> None:
    found = sampled(watch("mail"), reading(lag("mail", ready=1), lag("other", ready=9)), 1)

    assert found.sample is not None
    assert found.sample.ready == 1
