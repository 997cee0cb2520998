"""What a loop reads, how often, and what it tends."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from tests.support.loops import POLICY, assigned, enqueue, execute, fixed, looping, run
from tests.support.targets import PodTarget

from queueworker.compat import override
from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import Mode
from queueworker_operator.lag import Lags
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.settings import LoopSettings

pytestmark = pytest.mark.postgres


class Slow(PostgresLag):
    """Lets something happen after the database has answered the first read."""

    answered: Callable[[], None] | None = None

    @override
    async def look(self, queues: Sequence[str]) -> Lags:
        lags = await super().look(queues)
        if self.answered is not None:
            self.answered()
            self.answered = None
        return lags


def test_who_comes_during_a_read_is_not_told_that_its_queue_is_missing(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 1)
        await enqueue(dsn, 1, "late")
        first, second = PodTarget(dsn, ("mail",)), PodTarget(dsn, ("late",))
        late = Assignment(key="default/late", queues=("late",), policy=fixed(0), target=second)
        source = Slow(dsn)
        async with looping(dsn, [assigned(first, fixed(0))], source=source) as (loop, reports):
            source.answered = lambda: loop.assign(late)
            report = await reports.next(1, late.key)

        assert report.sample is not None
        assert report.sample.ready == 1
        assert not report.facts

    run(scene())


def test_twenty_queues_cost_two_connections_and_about_one_query_a_second(dsn: str) -> None:
    async def scene() -> None:
        name = (await execute(dsn, "SELECT current_database()"))[0][0]
        await execute(dsn, f"ALTER DATABASE \"{name}\" SET track_functions = 'all'")
        assignments = []
        for number in range(20):
            queue = f"queue-{number}"
            await enqueue(dsn, 1, queue)
            target = PodTarget(dsn, (queue,))
            policy = replace(POLICY, mode=Mode.DRY_RUN)
            assignments.append(
                Assignment(key=f"default/{queue}", queues=(queue,), policy=policy, target=target)
            )
        began_s = time.monotonic()
        async with looping(dsn, assignments) as (_, reports):
            await reports.next(8, key="default/queue-19")
            connections = await execute(
                dsn,
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = %s",
                name,
                "queueworker-operator",
            )
        seconds = time.monotonic() - began_s
        [[reads]] = await execute(
            dsn, "SELECT calls FROM pg_stat_user_functions WHERE funcname = 'queue_lag'"
        )
        print(f"{reads} reads in {seconds:.1f} s")  # noqa: T201 -- the promise's figure

        assert connections == [(2,)]
        assert 8 <= reads <= seconds * 1.2 + 2

    run(scene())


def test_queues_without_a_worker_are_swept_and_the_next_enqueue_wakes_the_loop(dsn: str) -> None:
    async def scene() -> None:
        await execute(
            dsn, "SELECT queueworker.enqueue('mail', 'work', run_at => clock_timestamp() + '1 s')"
        )
        target = PodTarget(dsn, ("mail",))
        policy = replace(POLICY, mode=Mode.DRY_RUN)
        settings = LoopSettings(tend_every_s=0.5)
        async with looping(dsn, [assigned(target, policy)], settings=settings) as (_, reports):
            await reports.until(lambda report: bool(report.sample and report.sample.ready == 1))
            await reports.until(
                lambda report: bool(report.sample and report.sample.announced_total == 1)
            )
        rows = await execute(
            dsn, "SELECT idle, pos IS NOT NULL FROM queueworker.job, queueworker.queue"
        )

        assert rows == [(True, True)]

    run(scene())
