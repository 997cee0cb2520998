"""What many QueueWorkers ask of their database in one tick goes to it in few statements."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace

import pytest
from tests.support.loops import Reports, database_away, enqueue, execute, looping
from tests.support.targets import PodTarget

from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import Mode, Policy, Reason
from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag.postgres import MOST_TOGETHER, PostgresLag
from queueworker_operator.settings import DatabaseSettings

pytestmark = pytest.mark.postgres

POLICY = Policy(max_replicas=50, slots_per_pod=4, mode=Mode.DRY_RUN)
QUEUES = [f"queue-{number:02}" for number in range(40)]
# Rows of one transaction have the same xmin.
COMMITS = "SELECT count(*), count(DISTINCT xmin::text) FROM queueworker.decision"
NAMES = [f"default/{number}" for number in range(2 * MOST_TOGETHER + 1)]


def run(scene: Coroutine[object, object, None]) -> None:
    asyncio.run(scene)


def assignments(dsn: str) -> list[Assignment]:
    return [
        Assignment(
            key=f"default/{queue}",
            queues=(queue,),
            policy=POLICY,
            target=PodTarget(dsn, (queue,)),
        )
        for queue in QUEUES
    ]


async def all_report(reports: Reports, reason: Reason) -> None:
    async with asyncio.TaskGroup() as group:
        for queue in QUEUES:
            group.create_task(
                reports.until(
                    lambda report: report.decision is not None and report.decision.reason is reason,
                    key=f"default/{queue}",
                )
            )


async def commits_of(dsn: str, records: int) -> int:
    """Wait for so many records; give in how many commits they came."""
    async with asyncio.timeout(15):
        while True:
            [(count, commits)] = await execute(dsn, COMMITS)
            if count >= records:
                return int(commits)
            await asyncio.sleep(0.05)


def test_the_records_of_a_tick_are_one_commit_and_those_of_an_outage_too(dsn: str) -> None:
    async def scene() -> None:
        for queue in QUEUES:
            await enqueue(dsn, 100, queue)
        async with looping(dsn, assignments(dsn)) as (_, reports):
            await all_report(reports, Reason.FIRST_JOB)
            before = await commits_of(dsn, len(QUEUES))
            async with database_away(dsn):
                await all_report(reports, Reason.NO_METRICS)
            await all_report(reports, Reason.FIRST_JOB)
            after = await commits_of(dsn, 3 * len(QUEUES))

        assert before == 1
        assert after == 1 + 1  # those of the outage, and of its end

    run(scene())


def test_records_made_side_by_side_are_kept_in_order_and_a_bad_one_stops_no_other(dsn: str) -> None:
    async def scene() -> None:
        source = PostgresLag(dsn)
        writes = [source.record_decision("a", {"number": number}) for number in range(9)]
        bad = source.record_decision("a", {"number": float("nan")})
        outcomes = await asyncio.gather(bad, *writes, return_exceptions=True)
        entries = await source.decisions("a", 20)
        await source.close()

        assert [type(outcome) for outcome in outcomes] == [LagUnavailable, *[type(None)] * 9]
        assert [entry.record["number"] for entry in entries] == [*range(8, -1, -1)]

    run(scene())


def test_who_gives_up_takes_nobody_along(dsn: str) -> None:
    async def scene() -> None:
        source = PostgresLag(dsn)
        first, second = [asyncio.create_task(source.record_decision(name, {})) for name in "ab"]
        await asyncio.sleep(0)
        first.cancel()
        await second
        await source.close()

        assert first.cancelled()
        [[kept]] = await execute(
            dsn, "SELECT array_agg(name ORDER BY name) FROM queueworker.decision"
        )
        assert "b" in kept

    run(scene())


def test_each_gets_its_own_state_of_those_that_are_read_together(dsn: str) -> None:
    async def scene() -> None:
        source = PostgresLag(dsn)
        await source.save_states({name: {"of": name} for name in NAMES[1:]})
        states = await asyncio.gather(*map(source.load_state, NAMES))
        await source.close()

        assert states == [None, *({"of": name} for name in NAMES[1:])]

    run(scene())


def test_all_are_told_at_once_that_the_database_is_away(dsn: str) -> None:
    async def scene() -> None:
        source = PostgresLag(dsn, settings=replace(DatabaseSettings(), connect_timeout_s=1.0))
        async with database_away(dsn), asyncio.timeout(2.0):
            told = await asyncio.gather(
                *(source.record_decision(name, {}) for name in NAMES), return_exceptions=True
            )
        await source.close()

        assert {type(error) for error in told} == {LagUnavailable}

    run(scene())


def test_a_source_that_closes_keeps_nobody_waiting(dsn: str) -> None:
    async def scene() -> None:
        source = PostgresLag(dsn)
        waiting = [asyncio.create_task(source.record_decision(name, {})) for name in NAMES]
        await asyncio.sleep(0)
        async with asyncio.timeout(5.0):
            await source.close()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)

        assert all(
            outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes
        )

    run(scene())
