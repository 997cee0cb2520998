"""Queues that keep what has finished: set it, fill it, count it."""

from datetime import UTC, date, datetime, timedelta

from psycopg import sql
from tests.support.engine import Engine, succeed
from tests.support.postgres import Connection

from queueworker.store import QueueRow, Retention, Upkeep

DAY_S = 86_400.0
FINISHED = "SELECT id FROM queueworker.jobs WHERE state = 'succeeded' ORDER BY id"


async def retain(e: Engine, finished_s: float, queue: str = "mail") -> QueueRow:
    await e.store.queue(queue)
    assert await e.store.queue_retain(queue, Retention(finished_s=finished_s))
    return await e.store.queue(queue)


async def run_one(e: Engine, queue: QueueRow) -> int:
    """Enqueue, claim and complete one job of the engine's queue; give its id."""
    (job_id,) = await e.enqueue()
    jobs = await e.claim(await e.worker(pod="pod-7"))
    assert await e.store.complete(queue, [succeed(job) for job in jobs]) == set()
    return job_id


async def maintain(e: Engine) -> Upkeep:
    upkeep = await e.store.maintain(at_once=True)
    assert upkeep is not None
    return upkeep


def days(conn: Connection) -> list[date]:
    rows = conn.execute("SELECT right(part, 8) FROM queueworker.finished_days()").fetchall()
    return [datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date() for (text,) in rows]


def make_day(conn: Connection, day: date) -> None:
    """Make an earlier day's partition, as the maintenance of that day did."""
    query = sql.SQL(
        "CREATE TABLE queueworker.{} PARTITION OF queueworker.finished_job"
        " FOR VALUES FROM ({}) TO ({})"
    ).format(
        sql.Identifier(f"finished_job_{day:%Y%m%d}"),
        sql.Literal(f"{day} 00:00+00"),
        sql.Literal(f"{day + timedelta(days=1)} 00:00+00"),
    )
    with conn.transaction():
        conn.execute("SET LOCAL ROLE queueworker_owner")
        conn.execute(query)


def keep(conn: Connection, queue: str, age: timedelta, count: int = 1) -> None:
    """Write finished jobs of that age."""
    conn.execute("SELECT queueworker.enqueue(%s, 'a')", (queue,))
    conn.execute(
        "INSERT INTO queueworker.finished_job (id, finished_at, created_at, run_at, lane_id, queue_id,"
        " attempt, max_attempts, crash_count, state, args)"
        " SELECT 1000000 + n, clock_timestamp() - %s, now(), now(), l.id, q.id, 1, 5, 0,"
        " 'succeeded', '{}' FROM generate_series(1, %s) AS n, queueworker.queue AS q"
        " JOIN queueworker.lane AS l ON l.queue_id = q.id WHERE q.name = %s",
        (age, count, queue),
    )


def kept(conn: Connection, queue: str) -> int:
    """Count the rows, shown or not."""
    row = conn.execute(
        "SELECT count(*) FROM queueworker.finished_job AS f"
        " JOIN queueworker.queue AS q ON q.id = f.queue_id WHERE q.name = %s",
        (queue,),
    ).fetchone()
    return -1 if row is None else int(row[0])
