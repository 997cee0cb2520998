"""Without metrics no pod is ended, and work resumes when they are back."""

import time
from dataclasses import replace

import pytest
from tests.support.loops import POLICY, assigned, database_away, looping, run
from tests.support.targets import PodTarget

from queueworker.compat import override
from queueworker_operator.decision.model import Fallback, Reason
from queueworker_operator.report import Fact

pytestmark = pytest.mark.postgres


def test_without_metrics_nothing_is_scaled_and_work_resumes_within_five_seconds(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with looping(dsn, [assigned(target)]) as (_, reports):
            await reports.next(2)
            async with database_away(dsn):
                blind = await reports.until(lambda report: Fact.METRICS_UNAVAILABLE in report.facts)
                held = await reports.next(3)
            back_s = time.monotonic()
            await reports.until(lambda report: report.sample is not None)
            resumed_s = time.monotonic() - back_s

        assert target.writes == []
        assert blind.sample is None
        assert held.decision is not None
        assert held.decision.reason is Reason.NO_METRICS
        assert held.sample_age_s is not None
        assert held.sample_age_s > 0
        assert resumed_s < 5.0

    run(scene())


class Wishes(PodTarget):
    """A target that takes what is asked for and starts nothing."""

    @override
    async def scale(self, desired: int) -> None:
        self.writes.append((time.monotonic(), desired))
        self._desired = desired


def test_with_a_fallback_an_outage_adds_pods_after_its_time_and_takes_none(dsn: str) -> None:
    async def scene() -> None:
        target = Wishes(dsn, ("mail",))
        policy = replace(POLICY, fallback=Fallback(replicas=6, after_s=1.5))
        async with looping(dsn, [assigned(target, policy)]) as (_, reports):
            await reports.next(2)
            async with database_away(dsn):
                out_s = time.monotonic()
                held = await reports.until(lambda report: Fact.METRICS_UNAVAILABLE in report.facts)
                report = await reports.until(lambda report: report.written is not None)

        assert held.decision is not None
        assert held.decision.reason is Reason.NO_METRICS
        assert [desired for _, desired in target.writes] == [6]
        assert 0.5 <= target.writes[0][0] - out_s <= 5.0
        assert report.decision is not None
        assert report.decision.reason is Reason.FALLBACK

    run(scene())


def test_pods_without_any_row_in_the_database_are_held_not_removed(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("elsewhere",))
        async with target.running(3), looping(dsn, [assigned(target)]) as (_, reports):
            report = await reports.next(3)

        assert target.writes == []
        assert "the 3 replicas are held" in report.facts[Fact.WAITING]

    run(scene())
