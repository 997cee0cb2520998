"""Targets that may not be written, conflict, are missing or hang."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import replace

import pytest
from tests.support.loops import (
    POLICY,
    assigned,
    enqueue,
    execute,
    looping,
    run,
)
from tests.support.targets import PodTarget

from queueworker.compat import override
from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import Mode, PodId
from queueworker_operator.report import Fact

pytestmark = pytest.mark.postgres


def test_who_may_not_write_reads_and_learns_but_changes_nothing(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 100)
        target = PodTarget(dsn, ("mail",))
        leading = False
        async with (
            target.running(),
            looping(dsn, [assigned(target)], may_write=lambda: leading) as (loop, reports),
        ):
            ticked_at = loop.last_tick_at
            while loop.last_tick_at < ticked_at + 2.5:  # noqa: ASYNC110 -- a standby tells nothing
                await asyncio.sleep(0.1)
            stood_by = list(target.writes)
            told = dict(reports.by_key)
            rows = await execute(dsn, "SELECT count(*) FROM queueworker.decision")
            leading = True
            await reports.until(lambda report: report.written is not None)

        assert (stood_by, told, rows) == ([], {}, [(0,)])

    run(scene())


def test_a_dry_run_records_and_reports_and_leaves_the_target_alone(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 100)
        target = PodTarget(dsn, ("mail",))
        policy = replace(POLICY, mode=Mode.DRY_RUN)
        async with target.running(), looping(dsn, [assigned(target, policy)]) as (_, reports):
            report = await reports.next(3)
        rows = await execute(dsn, "SELECT record->'decision'->>'desired' FROM queueworker.decision")

        assert report.decision is not None
        assert report.decision.desired > 0
        assert str(report.decision.desired) in {desired for (desired,) in rows}
        assert target.writes == []

    run(scene())


def test_a_conflict_is_read_again_and_decided_again(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        target.conflicts = 1
        await enqueue(dsn, 50)
        async with target.running(), looping(dsn, [assigned(target)]) as (_, reports):
            await reports.until(lambda report: Fact.TARGET_CONFLICT in report.facts)
            await reports.until(lambda report: report.written is not None)

        assert len(target.writes) == 1

    run(scene())


def test_a_missing_target_is_told_and_the_others_go_on(dsn: str) -> None:
    class Broken(PodTarget):
        @override
        def pods(self) -> Collection[PodId]:
            raise RuntimeError("broken")

        @override
        def read(self) -> None:
            raise RuntimeError("broken")

    async def scene() -> None:
        await enqueue(dsn, 10)
        missing, broken, sound = (PodTarget(dsn, ("mail",)) for _ in range(3))
        missing.exists = False
        broken = Broken(dsn, ("mail",))
        assignments = [
            assigned(missing, key="default/missing"),
            assigned(broken, key="default/broken"),
            assigned(sound),
        ]
        async with sound.running(), looping(dsn, assignments) as (_, reports):
            await reports.until(lambda report: report.written is not None)
            told = await reports.next(key="default/missing")
            failed = await reports.next(key="default/broken")

        assert Fact.TARGET_MISSING in told.facts
        assert Fact.STEP_FAILED in failed.facts
        assert len(sound.writes) == 1

    run(scene())


def test_a_target_that_hangs_holds_up_nobody_else(dsn: str) -> None:
    class Hanging(PodTarget):
        @override
        async def scale(self, desired: int) -> None:
            self.writes.append((time.monotonic(), desired))
            await asyncio.Event().wait()

    async def scene() -> None:
        hanging, sound = Hanging(dsn, ("mail",)), PodTarget(dsn, ("reports",))
        assignments = [
            assigned(hanging),
            Assignment(key="default/sound", queues=("reports",), policy=POLICY, target=sound),
        ]
        async with sound.running(), looping(dsn, assignments) as (_, reports):
            await enqueue(dsn, 10)
            await reports.next(2, key="default/sound")
            await enqueue(dsn, 500, "reports")
            began_s = time.monotonic()
            await reports.until(lambda report: report.written is not None, key="default/sound")
            took_s = time.monotonic() - began_s
            await reports.next(3, key="default/sound")

        assert len(hanging.writes) == 1
        assert took_s < 2.5

    run(scene())
