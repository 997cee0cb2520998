"""Rows of `queue_lag` for tests, and a source that reads them from a real Postgres."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag import QueueLag
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.settings import DatabaseSettings

BUCKETS = 48
HASTY = DatabaseSettings(connect_timeout_s=1.0, call_timeout_s=0.5)


def lag(queue: str = "mail", **fields: object) -> QueueLag:
    nothing = QueueLag(
        queue=queue,
        at_s=1000.0,
        ready=0,
        ready_is_exact=True,
        oldest_ready_age_s=0.0,
        running=0,
        scheduled=0,
        dead=0,
        due_5s=(0,) * 60,
        enqueued_total=0,
        promoted_total=0,
        retried_total=0,
        released_total=0,
        rescued_total=0,
        rescued_pod_gone_total=0,
        refused_total=0,
        started_total=0,
        succeeded_total=0,
        failed_total=0,
        busy_slot_seconds_total=0.0,
        service_count=0,
        service_sum_s=0.0,
        service_sq_sum_s2=0.0,
        wait_histogram=(0,) * BUCKETS,
        slots=0,
        busy_slots=0,
        workers=0,
        draining_workers=0,
        paused=False,
        ready_by_task={},
        worker_tasks=(),
    )
    return replace(nothing, **fields)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(dsn: str, settings: DatabaseSettings = HASTY) -> AsyncIterator[PostgresLag]:
    source = PostgresLag(dsn, settings=settings)
    try:
        yield source
    finally:
        await source.close()


async def until_read(source: PostgresLag, queue: str, within_s: float = 10.0) -> float:
    """Read until it succeeds; give the seconds that took."""
    began_s = time.monotonic()
    while True:
        try:
            await source.read([queue])
            return time.monotonic() - began_s
        except LagUnavailable:
            assert time.monotonic() - began_s < within_s
            await source.wait(0.1)
