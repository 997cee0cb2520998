"""Fill queues with many rows fast: straight into the table, as many enqueues would have left it."""

from dataclasses import dataclass

from tests.support.engine import Engine
from tests.support.postgres import Connection

GROW = """
WITH target AS (
  SELECT q.id AS queue_id, l.id AS lane_id, q.position_sequence AS positions,
    coalesce(pg_sequence_last_value(q.position_sequence), q.id::bigint << 40) AS base
  FROM queueworker.queue AS q JOIN queueworker.lane AS l ON l.queue_id = q.id
  WHERE q.name = %(queue)s AND l.task = %(task)s AND l.priority = 0
), filled AS (
  INSERT INTO queueworker.job (id, pos, lane_id, queue_id, run_at, max_attempts, args)
  SELECT t.base + n, t.base + n, t.lane_id, t.queue_id, clock_timestamp(), 5, '{"n": 1}'
  FROM target AS t, generate_series(1, %(count)s) AS n
)
SELECT setval(positions, base + %(count)s) FROM target
"""
SCHEDULE = """
WITH target AS (
  SELECT q.id AS queue_id, l.id AS lane_id,
    coalesce(pg_sequence_last_value('queueworker.job_scheduled_id'), 0) AS base
  FROM queueworker.queue AS q JOIN queueworker.lane AS l ON l.queue_id = q.id
  WHERE q.name = %(queue)s AND l.task = %(task)s AND l.priority = 0
), filled AS (
  INSERT INTO queueworker.job (id, lane_id, queue_id, run_at, max_attempts, args)
  SELECT t.base + n, t.lane_id, t.queue_id,
    clock_timestamp() + make_interval(secs => %(after_s)s + n %% 864000), 5, '{"n": 1}'
  FROM target AS t, generate_series(1, %(count)s) AS n
)
SELECT setval('queueworker.job_scheduled_id', base + %(count)s) FROM target
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many rows stand around a claim: ready ones, scheduled ones, and another queue's."""

    ready: int
    scheduled: int
    others: int


def lane(conn: Connection, queue: str, task: str = "a") -> None:
    """Make a queue and a lane, as its first enqueue would, and leave both empty."""
    row = conn.execute("SELECT queueworker.enqueue(%s, %s)", (queue, task)).fetchone()
    conn.execute("DELETE FROM queueworker.job WHERE id = %s", row)


def grow(conn: Connection, queue: str, count: int, task: str = "a") -> None:
    """Add `count` ready jobs to a lane."""
    if count == 0:
        return
    conn.execute(GROW, {"queue": queue, "task": task, "count": count})


def schedule(
    conn: Connection, queue: str, count: int, task: str = "a", after_s: float = 3600.0
) -> None:
    """Add `count` scheduled jobs over ten days; `after_s` below 0 makes the first of them due."""
    if count == 0:
        return
    conn.execute(
        SCHEDULE, {"queue": queue, "task": task, "count": count, "after_s": float(after_s)}
    )


def fill(conn: Connection, backlog: Backlog, queue: str = "mail") -> None:
    """Grow a queue, its scheduled jobs and a neighbour in the same table to these sizes."""
    for name, count in ((queue, backlog.ready), (f"{queue}-neighbour", backlog.others)):
        lane(conn, name)
        grow(conn, name, count)
    schedule(conn, queue, backlog.scheduled)
    conn.execute("VACUUM ANALYZE queueworker.job")


def scheduled(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) FROM queueworker.job WHERE pos IS NULL").fetchone()
    return int(row[0]) if row else 0


async def rolled_back(e: Engine, count: int) -> None:
    async with e.conn.transaction(force_rollback=True):
        await bulk(e, count)


async def bulk(e: Engine, count: int, task: str = "a") -> None:
    await e.all(
        "SELECT count(*) FROM queueworker.enqueue_many('mail', %s,"
        " ARRAY(SELECT '{}'::jsonb FROM generate_series(1, %s)))",
        task,
        count,
    )
