"""Every write is recorded before it is made, and a failed one once."""

import time
from dataclasses import replace

import psycopg
import pytest
from tests.support.loops import HASTY, KEY, assigned, enqueue, execute, fixed, looping, run
from tests.support.targets import PodTarget

from queueworker_operator.controller.record import replay
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.report import Fact

pytestmark = pytest.mark.postgres


def test_a_write_that_fails_again_and_again_is_recorded_once(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        target.conflicts = 5
        async with (
            target.running(0),
            looping(dsn, [assigned(target, fixed(3))], settings=HASTY) as (_, reports),
        ):
            await reports.until(lambda report: report.written == 3)
            rows = await execute(dsn, "SELECT record -> 'asked' FROM queueworker.decision")

        assert target.conflicts == 0
        assert [asked for (asked,) in rows].count(3) == 1

    run(scene())


def test_a_write_that_failed_long_ago_is_recorded_anew_when_it_is_wanted_again(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        target.conflicts = 1000
        async with (
            target.running(0),
            looping(dsn, [assigned(target, fixed(3))], settings=HASTY) as (loop, reports),
        ):
            await reports.until(lambda report: Fact.TARGET_CONFLICT in report.facts)
            loop.assign(assigned(target, fixed(0)))
            await reports.until(lambda report: Fact.TARGET_CONFLICT not in report.facts)
            target.conflicts = 0
            loop.assign(assigned(target, fixed(3)))
            await reports.until(lambda report: report.written == 3)
            rows = await execute(dsn, "SELECT record -> 'asked' FROM queueworker.decision")

        assert [asked for (asked,) in rows].count(3) == 2

    run(scene())


def test_a_write_that_fails_for_long_is_recorded_anew_with_what_it_is_decided_from_by_then(
    dsn: str,
) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        target.conflicts = 1000
        settings = replace(HASTY, record_again_s=1.0)
        async with (
            target.running(0),
            looping(dsn, [assigned(target, fixed(3))], settings=settings) as (_, reports),
        ):
            await reports.until(lambda report: Fact.TARGET_CONFLICT in report.facts)
            failing_since_s = time.monotonic()
            await reports.until(lambda _: time.monotonic() - failing_since_s > 2.5)
            target.conflicts = 0
            await reports.until(lambda report: report.written == 3)
            rows = await execute(
                dsn, "SELECT clock_timestamp() - decided_at < '2 s' FROM queueworker.decision"
            )

        assert 3 <= len(rows) <= 4
        assert (True,) in rows

    run(scene())


REFUSE_RECORDS = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END$$;
    CREATE TRIGGER refuse BEFORE INSERT ON queueworker.decision
      FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def test_nothing_is_scaled_before_its_decision_is_recorded(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(2),
            looping(dsn, [assigned(target, fixed(2))], settings=HASTY) as (loop, reports),
        ):
            await reports.next(2)
            async with await psycopg.AsyncConnection.connect(dsn) as conn:
                await conn.execute(REFUSE_RECORDS)
            loop.assign(assigned(target, fixed(5)))
            held = await reports.until(lambda report: Fact.METRICS_UNAVAILABLE in report.facts)
            loop.assign(assigned(target, fixed(1)))
            await reports.until(lambda report: Fact.METRICS_UNAVAILABLE not in report.facts)
            await reports.until(lambda report: Fact.METRICS_UNAVAILABLE in report.facts)
            assert target.writes == []
            await execute(dsn, "DROP TRIGGER refuse ON queueworker.decision")
            loop.assign(assigned(target, fixed(5)))
            await reports.until(lambda report: report.written == 5)
            rows = await execute(dsn, "SELECT record -> 'asked' FROM queueworker.decision")

        assert "not scaled to 5" in held.facts[Fact.METRICS_UNAVAILABLE]
        assert [asked for (asked,) in rows].count(5) == 1

    run(scene())


def test_every_write_has_a_record_that_replays_to_the_same_number(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(),
            looping(dsn, [assigned(target)], settings=HASTY) as (loop, reports),
        ):
            await reports.next()
            await enqueue(dsn, 200)
            await reports.until(lambda report: report.written is not None)
            await target.until(lambda: target.ready() == len(target.pods()))
            loop.assign(assigned(target, fixed(2)))
            await target.until(lambda: len(target.pods()) == 2)
        source = PostgresLag(dsn)
        records = [entry.record for entry in await source.decisions(KEY, 200)]
        await source.close()
        asked = [record["asked"] for record in reversed(records) if record["asked"] is not None]

        assert asked == [desired for _, desired in target.writes]
        assert len(asked) >= 2
        for record in records:
            decision = replay(record)
            assert decision.desired == record["decision"]["desired"]
            assert decision.message == record["decision"]["message"]
            if record["asked"] is not None:
                low, high = sorted((decision.current, decision.desired))
                assert low <= record["asked"] <= high

    run(scene())
