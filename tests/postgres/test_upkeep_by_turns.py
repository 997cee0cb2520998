"""What a loop does beside deciding stands behind the reads and the decisions, after an outage too."""

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.support.loops import Reports, database_away, enqueue, execute, looping
from tests.support.targets import PodTarget

from queueworker.compat import override
from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import Mode, Policy, Reason
from queueworker_operator.lag import Lags
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.metrics import Metrics
from queueworker_operator.report import Fact, Report
from queueworker_operator.settings import LoopSettings

pytestmark = pytest.mark.postgres

POLICY = Policy(max_replicas=50, slots_per_pod=4)
WATCHING, PAUSED = replace(POLICY, mode=Mode.DRY_RUN), replace(POLICY, mode=Mode.PAUSED)
QUEUES = [f"queue-{number:02}" for number in range(40)]
REASONS = "SELECT name, record -> 'decision' ->> 'reason' FROM queueworker.decision ORDER BY id"
SWEEP_S = 0.15


def run(scene: Coroutine[object, object, None]) -> None:
    asyncio.run(scene)


def key_of(queue: str) -> str:
    return f"default/{queue}"


def watching(dsn: str) -> list[Assignment]:
    return [
        Assignment(
            key=key_of(queue), queues=(queue,), policy=WATCHING, target=PodTarget(dsn, (queue,))
        )
        for queue in QUEUES
    ]


def because(reason: Reason) -> Callable[[Report], bool]:
    return lambda report: report.decision is not None and report.decision.reason is reason


async def all_report(reports: Reports, reason: Reason) -> None:
    async with asyncio.TaskGroup() as group:
        for queue in QUEUES:
            group.create_task(reports.until(because(reason), key=key_of(queue)))


class Stuck(PostgresLag):
    """Takes no record until it is told to, but those that a write to the target waits for."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.takes = asyncio.Event()
        self.was_asked = asyncio.Event()

    @override
    async def record_decision(self, name: str, record: Mapping[str, Any]) -> None:
        if record["asked"] is None:
            self.was_asked.set()
            await self.takes.wait()
        await super().record_decision(name, record)


async def reasons_of(dsn: str, queue: str) -> list[str]:
    return [reason for name, reason in await execute(dsn, REASONS) if name == key_of(queue)]


def test_after_an_outage_no_decision_waits_for_the_records_of_the_others(dsn: str) -> None:
    async def scene() -> None:
        source, target = Stuck(dsn), PodTarget(dsn, ("mail",))
        source.takes.set()
        target.quota = 0  # its pods would need the database
        held = Assignment(key=key_of("mail"), queues=("mail",), policy=PAUSED, target=target)
        await enqueue(dsn, 500)
        assignments = [*watching(dsn), held]
        async with looping(dsn, assignments, source=source) as (loop, reports):
            await all_report(reports, Reason.IDLE)
            async with database_away(dsn):
                await all_report(reports, Reason.NO_METRICS)
                source.takes.clear()
                loop.assign(replace(held, policy=POLICY))
            async with asyncio.TaskGroup() as group:
                group.create_task(all_report(reports, Reason.IDLE))
                written = reports.until(lambda report: report.written is not None, key_of("mail"))
                group.create_task(written)
            source.takes.set()

        assert target.writes
        for queue in QUEUES:
            assert await reasons_of(dsn, queue) == ["Idle", "MetricsUnavailable", "Idle"]

    run(scene())


def test_a_loop_that_ends_writes_the_records_that_it_has_noted(dsn: str) -> None:
    async def scene() -> None:
        source = Stuck(dsn)
        async with looping(dsn, watching(dsn)[:1], source=source):
            await source.was_asked.wait()
            source.takes.set()

        assert await reasons_of(dsn, QUEUES[0]) == ["Idle"]

    run(scene())


class Slow(PostgresLag):
    """Takes its time for a sweep; notes when it was read, and when all was swept."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.reads_s: list[float] = []
        self.left = set(QUEUES)
        self.all_swept = asyncio.Event()

    @override
    async def look(self, queues: Sequence[str]) -> Lags:
        self.reads_s.append(time.monotonic())
        return await super().look(queues)

    @override
    async def tend(self, queues: Collection[str]) -> None:
        await asyncio.sleep(SWEEP_S)
        await super().tend(queues)
        self.left.difference_update(queues)
        if not self.left:
            self.all_swept.set()


def test_a_read_waits_for_no_more_than_a_turn_of_the_upkeep_and_all_of_it_is_done(dsn: str) -> None:
    async def scene() -> None:
        source = Slow(dsn)
        settings = LoopSettings(at_once=2, tend_every_s=60.0)
        for queue in QUEUES:
            await enqueue(dsn, 1, queue)
        async with looping(dsn, watching(dsn), source=source, settings=settings):
            async with asyncio.timeout(60):
                await source.all_swept.wait()
        reads_s = source.reads_s
        gaps_s = sorted(after - before for before, after in itertools.pairwise(reads_s))

        assert len(reads_s) >= len(QUEUES) / 2 / (LoopSettings().upkeep_s / SWEEP_S + 1)
        assert gaps_s[len(gaps_s) // 2] < 1.5  # a second, or a turn where that is longer

    run(scene())


class Hanging(PodTarget):
    was_asked: asyncio.Event

    @override
    async def scale(self, _: int) -> None:
        self.was_asked.set()
        await asyncio.Event().wait()


def test_the_age_of_a_sample_is_told_when_it_is_decided_on_though_the_write_hangs(dsn: str) -> None:
    async def scene() -> None:
        registry, target = CollectorRegistry(), Hanging(dsn, ("mail",))
        metrics, target.was_asked = Metrics(registry), asyncio.Event()
        held = Assignment(key=key_of("mail"), queues=("mail",), policy=PAUSED, target=target)
        await enqueue(dsn, 500)
        async with looping(dsn, [held], metrics=metrics) as (loop, reports):
            await reports.until(because(Reason.PAUSED), held.key)
            async with database_away(dsn):
                away_s = time.monotonic()
                await reports.until(
                    lambda report: Fact.METRICS_UNAVAILABLE in report.facts, held.key
                )
                loop.assign(replace(held, policy=POLICY))
            async with asyncio.timeout(15):
                await target.was_asked.wait()
            labels = {"namespace": "default", "queueworker": "mail"}
            age_s = registry.get_sample_value("queueworker_metric_age_seconds", labels)

            assert age_s is not None
            assert age_s < time.monotonic() - away_s

    run(scene())
