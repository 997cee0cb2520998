"""Several queues in one worker: shares by weight, bounds on waiting, capacity kept free."""

import re
import signal

import pytest
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess

pytestmark = pytest.mark.postgres


def enqueue_many(bench: Bench, queue: str, task: str, count: int, args: str = "{}") -> None:
    bench.conn.execute(
        "SELECT count(*) FROM queueworker.enqueue_many(%s, %s,"
        " ARRAY(SELECT %s::jsonb FROM generate_series(1, %s)))",
        (queue, task, args, count),
    )


def finished(bench: Bench, count: int) -> dict[str, int]:
    """Give how many jobs of each queue have ended, at one moment."""
    rows = bench.conn.execute(
        "SELECT q.name, %s - count(j.id) FROM queueworker.queue AS q"
        " LEFT JOIN queueworker.job AS j ON j.queue_id = q.id GROUP BY q.name",
        (count,),
    )
    return dict(rows.fetchall())


@pytest.mark.parametrize(
    ("task", "args", "count"),
    [
        ("pause", '{"seconds": 0.01}', 4000),
        ("noop", "{}", 60_000),
    ],
)
def test_two_backlogged_queues_share_the_slots_by_their_weights(
    dsn: str, task: str, args: str, count: int
) -> None:
    queues = ("--queue", "mail:3", "--queue", "reports:1")
    with Bench(dsn) as bench:
        for queue in ("mail", "reports"):
            enqueue_many(bench, queue, task, count, args)
        with WorkerProcess(dsn, *queues, concurrency=4):
            ended = wait_until(
                lambda: now if (now := finished(bench, count))["mail"] >= count / 2 else None,
                within_s=60,
                what="half of the mail",
                every_s=0.02,
            )

    assert ended["mail"] < count  # both were backlogged all the time
    assert ended["mail"] / (ended["mail"] + ended["reports"]) == pytest.approx(0.75, rel=0.1)


def waits(bench: Bench, queue: str, count: int) -> list[float]:
    """Enqueue one job after the other; give from enqueue to start of each, in seconds."""
    delays = []
    for _ in range(count):
        (job_id,) = bench.enqueue("quick", queue=queue)
        bench.until_noted(job_id, "quick")
        delays.append(
            float(
                bench.one(
                    "SELECT extract(epoch FROM l.started_at - h.created_at) FROM ledger AS l"
                    " JOIN born AS h USING (job_id) WHERE l.job_id = %s",
                    job_id,
                )
            )
        )
    return delays


def note_births(bench: Bench) -> None:
    bench.conn.execute("CREATE TABLE born (job_id bigint, created_at timestamptz)")
    bench.conn.execute(
        "CREATE FUNCTION note_birth() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
        " IF NEW.args ? 'number' OR NEW.args = '{}' THEN"
        " INSERT INTO public.born VALUES (NEW.id, clock_timestamp()); END IF; RETURN NULL; END $$"
    )
    bench.conn.execute(
        "CREATE TRIGGER note_birth AFTER INSERT ON queueworker.job"
        " FOR EACH ROW EXECUTE FUNCTION note_birth()"
    )


def test_an_urgent_job_starts_at_once_beside_a_deep_backlog_of_short_jobs(dsn: str) -> None:
    queues = ("--queue", "urgent:5", "--queue", "bulk:1")
    with Bench(dsn) as bench:
        enqueue_many(bench, "bulk", "pause", 20_000, '{"seconds": 0.005}')
        note_births(bench)
        with WorkerProcess(dsn, *queues, concurrency=4) as worker:
            worker.ready()
            delays = waits(bench, "urgent", 20)
            assert bench.one("SELECT count(*) > 1000 FROM queueworker.job")

    assert sorted(delays)[10] < 0.3, delays
    assert max(delays) < 1.0, delays


def test_an_urgent_job_finds_a_free_slot_beside_a_backlog_of_long_jobs_that_is_bounded(
    dsn: str,
) -> None:
    queues = ("--queue", "urgent:5", "--queue", "bulk:1:max=3")
    running = "SELECT count(*) FROM queueworker.jobs WHERE queue = 'bulk' AND state = 'running'"
    with Bench(dsn) as bench:
        enqueue_many(bench, "bulk", "pause", 50, '{"seconds": 60}')
        note_births(bench)
        with WorkerProcess(dsn, *queues, concurrency=4) as worker:
            bench.until(running.replace("count(*)", "count(*) = 3"))
            delays = waits(bench, "urgent", 20)
            assert bench.one(running) == 3
            worker.signal(signal.SIGKILL)

    assert max(delays) < 1.0, delays


def test_a_bounded_queue_works_through_its_backlog(dsn: str) -> None:
    with Bench(dsn) as bench:
        enqueue_many(bench, "bulk", "noop", 2000)
        with WorkerProcess(dsn, "--queue", "bulk:max=2", concurrency=4):
            bench.until("SELECT NOT EXISTS (SELECT FROM queueworker.job)", within_s=60)


def test_an_empty_queue_costs_nothing(dsn: str) -> None:
    queues = ("--queue", "mail", "--queue", "empty:1000")
    with Bench(dsn) as bench:
        enqueue_many(bench, "mail", "noop", 30_000)
        with WorkerProcess(dsn, *queues, concurrency=4) as worker:
            worker.ready()
            bench.until("SELECT NOT EXISTS (SELECT FROM queueworker.job)", within_s=60)
            _, page = worker.probe("/metrics")

    claims = {
        queue: float(number)
        for queue, number in re.findall(r'claim_seconds_count\{queue="(\w+)"\} ([\d.]+)', page)
    }
    # It was looked at now and then, never between two claims of the other.
    assert claims.get("empty", 0) < 10 + claims["mail"] / 5, claims


def test_a_higher_priority_goes_first_inside_a_queue(dsn: str) -> None:
    with Bench(dsn) as bench:
        # Long enough that the worker holds none beyond its slot.
        low = bench.enqueue("nap", count=3, seconds=0.15)
        high = bench.enqueue("nap", count=3, seconds=0.15, priority=9)
        middle = bench.enqueue("nap", count=3, seconds=0.15, priority=4)
        with WorkerProcess(dsn, concurrency=1):
            bench.until_gone(*low, *high, *middle)
        query = "SELECT job_id FROM ledger WHERE note = 'start' ORDER BY started_at"
        rows = bench.conn.execute(query).fetchall()

    assert [job_id for (job_id,) in rows] == [*high, *middle, *low]


def test_a_worker_claims_only_the_tasks_that_it_knows(dsn: str) -> None:
    with Bench(dsn) as bench, WorkerProcess(dsn):
        (foreign,) = bench.enqueue("task_of_another_app", priority=9)
        known = bench.enqueue("quick", count=5)
        bench.until_gone(*known)
        assert bench.state(foreign) == ("ready", 0)
