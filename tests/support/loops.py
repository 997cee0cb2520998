"""Run a database's loop in a test, and wait for what it reports."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
from tests.support.targets import PodTarget

from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.decision.model import Policy
from queueworker_operator.lag import LagSource
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.metrics import Metrics
from queueworker_operator.report import Report
from queueworker_operator.settings import DatabaseSettings, LoopSettings

KEY = "default/mail"
POLICY = Policy(max_replicas=50, slots_per_pod=4)
# Short times so that a test sees several rounds; the proportions are the product's.
HASTY = LoopSettings(read_every_s=0.2, patience_min_s=0.5, patience_max_s=1.0, spare_s=30.0)


class Reports:
    """Collects what the loop reports, by key."""

    def __init__(self) -> None:
        self.by_key: dict[str, list[Report]] = {}
        self._changed = asyncio.Condition()

    async def report(self, key: str, report: Report) -> None:
        async with self._changed:
            self.by_key.setdefault(key, []).append(report)
            self._changed.notify_all()

    async def until(
        self, holds: Callable[[Report], bool], key: str = KEY, timeout_s: float = 15.0
    ) -> Report:
        """Wait for a report, looking at those that come from now on."""
        seen = len(self.by_key.get(key, ()))
        async with asyncio.timeout(timeout_s), self._changed:
            while True:
                for report in self.by_key.get(key, ())[seen:]:
                    if holds(report):
                        return report
                seen = len(self.by_key.get(key, ()))
                await self._changed.wait()

    async def next(self, count: int = 1, key: str = KEY) -> Report:
        """Wait for `count` more reports; give the last."""
        report = await self.until(lambda _: True, key)
        for _ in range(count - 1):
            report = await self.until(lambda _: True, key)
        return report


@asynccontextmanager
async def database_away(dsn: str) -> AsyncIterator[None]:
    """Close a database to everybody, and end who is connected, until the block ends."""
    name = (await execute(dsn, "SELECT current_database()"))[0][0]
    other = dsn.replace(f"dbname={name}", "dbname=postgres")
    await execute(other, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await execute(
        other,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
        name,
    )
    try:
        yield
    finally:
        await execute(other, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


@asynccontextmanager
async def looping(
    dsn: str,
    assignments: Iterable[Assignment],
    *,
    may_write: Callable[[], bool] = lambda: True,
    settings: LoopSettings | None = None,
    database: DatabaseSettings | None = None,
    source: LagSource | None = None,
    wall_clock: Callable[[], float] = time.time,
    metrics: Metrics | None = None,
) -> AsyncIterator[tuple[DatabaseLoop, Reports]]:
    """Run a loop until the block ends; it ends as at a SIGTERM."""
    reports = Reports()
    loop = DatabaseLoop(
        source or PostgresLag(dsn, settings=database),
        reports,
        may_write=may_write,
        settings=settings or LoopSettings(),
        wall_clock=wall_clock,
        metrics=metrics,
    )
    for assignment in assignments:
        loop.assign(assignment)
    task = asyncio.create_task(loop.run())
    try:
        yield loop, reports
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def execute(dsn: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement in a transaction of its own."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        cursor = await connection.execute(query, values)
        return await cursor.fetchall() if cursor.description else []


async def enqueue(dsn: str, count: int, queue: str = "mail", task: str = "work") -> None:
    """Enqueue `count` ready jobs in one transaction."""
    await execute(
        dsn,
        "SELECT count(*) FROM queueworker.enqueue_many("
        "%s, %s, ARRAY(SELECT '{}'::jsonb FROM generate_series(1, %s)))",
        queue,
        task,
        count,
    )


@asynccontextmanager
async def arriving(dsn: str, queue: str = "mail", task: str = "work") -> AsyncIterator[None]:
    """Enqueue 10 ready jobs five times a second until the block ends."""

    async def produce() -> None:
        while True:
            await enqueue(dsn, 10, queue, task)
            await asyncio.sleep(0.2)

    producer = asyncio.create_task(produce())
    try:
        yield
    finally:
        producer.cancel()
        await asyncio.gather(producer, return_exceptions=True)


def run(scene: Coroutine[object, object, None]) -> None:
    asyncio.run(scene)


def assigned(target: PodTarget, policy: Policy = POLICY, key: str = KEY) -> Assignment:
    return Assignment(key=key, queues=("mail",), policy=policy, target=target, generation=1)


def fixed(replicas: int) -> Policy:
    return replace(POLICY, replicas=replicas)
