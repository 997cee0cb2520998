"""An operator that starts while the database is away does what was asked for that case."""

import asyncio
import time

import pytest
from tests.support.loops import KEY, database_away, looping
from tests.support.targets import PodTarget

from queueworker.compat import override
from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import Fallback, Policy, Reason
from queueworker_operator.report import Fact

pytestmark = pytest.mark.postgres

AFTER_S = 1.5


class Wishes(PodTarget):
    """A target that takes what is asked for and starts nothing."""

    @override
    async def scale(self, desired: int) -> None:
        self.writes.append((time.monotonic(), desired))
        self._desired = desired


def test_it_falls_back_as_declared_counted_from_its_start(dsn: str) -> None:
    async def scene() -> None:
        target = Wishes(dsn, ("mail",))
        policy = Policy(max_replicas=50, fallback=Fallback(replicas=6, after_s=AFTER_S))
        found = Assignment(key=KEY, queues=("mail",), policy=policy, target=target, generation=1)
        async with database_away(dsn):
            began_s = time.monotonic()
            async with looping(dsn, [found]) as (_, reports):
                held = await reports.next()
                report = await reports.until(lambda report: report.written is not None)

        assert Fact.METRICS_UNAVAILABLE in held.facts
        assert held.decision is not None
        assert held.decision.reason is Reason.NO_METRICS
        assert report.decision is not None
        assert report.decision.reason is Reason.FALLBACK
        assert [desired for _, desired in target.writes] == [6]
        assert target.writes[0][0] - began_s >= AFTER_S

    asyncio.run(scene())


def test_without_a_fallback_it_holds_and_what_was_learned_is_read_when_the_database_is_back(
    dsn: str,
) -> None:
    async def scene() -> None:
        target = Wishes(dsn, ("mail",))
        policy = Policy(min_replicas=2, max_replicas=50)
        found = Assignment(key=KEY, queues=("mail",), policy=policy, target=target, generation=1)
        async with database_away(dsn):
            looped = looping(dsn, [found])
            _, reports = await looped.__aenter__()
            held = await reports.next(3)
        report = await reports.until(lambda report: report.sample is not None)
        await looped.__aexit__(None, None, None)

        assert held.decision is not None
        assert (held.decision.desired, held.decision.reason) == (0, Reason.NO_METRICS)
        assert report.decision is not None
        assert report.decision.desired == 2

    asyncio.run(scene())
