"""A paused queue starts nothing, keeps everything, and goes on at once when it is resumed."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from tests.support.engine import engine
from tests.support.postgres import Connection
from tests.support.worker_process import Bench, WorkerProcess, run_command

from queueworker.store import ClaimRequest

pytestmark = pytest.mark.postgres

WORKERS = 3
CLAIMS = """
    CREATE TABLE claim_seen (at timestamptz DEFAULT clock_timestamp());
    CREATE FUNCTION see_claim() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO public.claim_seen DEFAULT VALUES;
      RETURN NULL;
    END $$;
    CREATE TRIGGER seen AFTER INSERT ON queueworker.claim FOR EACH ROW EXECUTE FUNCTION see_claim();
"""
AFTER = "SELECT extract(epoch FROM max(at) - %s)::float8 FROM claim_seen"
STARTED_AFTER = "SELECT extract(epoch FROM {}(started_at) - %s)::float8 FROM ledger"
NOTHING_IN_HAND = "SELECT NOT EXISTS (SELECT FROM queueworker.claim)"
IN_STATE = "SELECT count(*) FROM queueworker.jobs WHERE queue = 'mail' AND state = %s"


@pytest.fixture
def bench(dsn: str) -> Iterator[Bench]:
    with Bench(dsn) as opened:
        opened.conn.execute(CLAIMS)
        yield opened


def pause(bench: Bench, queue: str = "mail", *, paused: bool = True) -> bool:
    return bool(bench.one("SELECT queueworker.queue_pause(%s, %s)", queue, paused))


def until_swept_twice(bench: Bench, queue: str = "mail") -> None:
    """Wait until workers have looked at the queue from end to end, and once more."""
    for _ in range(2):
        at = bench.one("SELECT clock_timestamp()")
        bench.until("SELECT swept_at > %s FROM queueworker.queue WHERE name = %s", at, queue)


def deaf(dsn: str) -> dict[str, str]:
    """Give the settings of a worker that LISTEN tells nothing: it listens to another database."""
    other = psycopg.conninfo.make_conninfo(dsn, dbname="postgres")
    return {"QUEUEWORKER_LISTEN_DSN": other}


@pytest.mark.parametrize("hears", [True, False], ids=["listening", "polling"])
def test_a_pause_under_load_ends_the_claims_of_all_workers_when_the_command_returns(
    dsn: str, bench: Bench, hears: bool
) -> None:
    bench.enqueue("nap", count=5000, seconds=0.02)
    with ExitStack() as stack:
        for _ in range(WORKERS):
            stack.enter_context(WorkerProcess(dsn, environ=None if hears else deaf(dsn))).ready()
        bench.until("SELECT count(DISTINCT worker) = %s FROM ledger", WORKERS)
        assert run_command(dsn, "queue", "pause", "mail").returncode == 0
        at = bench.one("SELECT clock_timestamp()")
        left = bench.one(IN_STATE, "ready")
        assert left > 0
        (late,) = bench.enqueue("nap", seconds=0.0)
        bench.until(NOTHING_IN_HAND)
        until_swept_twice(bench)

        # What was under way at the command's end may be seen a moment later.
        assert bench.one(AFTER, at) < 0.2
        assert bench.one(STARTED_AFTER.format("max"), at) < (1.0 if hears else 3.0)
        assert bench.state(late) == ("ready", 0)
        assert bench.one(IN_STATE, "ready") > left
        assert bench.one("SELECT count(*) FROM queueworker.jobs WHERE attempt > 0") == 0
        ends = (
            "SELECT count(*) FILTER (WHERE note = 'start') = count(*) FILTER (WHERE note = 'end')"
        )
        assert bench.one(f"{ends} FROM ledger")

        bench.conn.execute("DELETE FROM ledger")
        assert run_command(dsn, "queue", "resume", "mail").returncode == 0
        at = bench.one("SELECT clock_timestamp()")
        bench.until("SELECT count(DISTINCT worker) = %s FROM ledger", WORKERS)
        if hears:
            assert bench.one(STARTED_AFTER.format("min"), at) < 1.0


def test_the_database_gives_nothing_of_a_paused_queue_to_a_worker_that_does_not_know(
    dsn: str,
) -> None:
    async def story() -> None:
        async with engine(dsn) as e:
            await e.enqueue(2)
            worker = await e.worker()
            lanes = await e.store.lanes(e.queue.id, ["a"])
            request = ClaimRequest(
                queue=e.queue, worker_id=worker, limit=2, lanes=lanes, hints=[0] * len(lanes)
            )
            assert await e.store.queue_pause("mail")
            assert await e.store.claim(request) == []
            assert await e.states() == {"ready": 2}
            assert await e.store.queue_resume("mail")
            assert len(await e.store.claim(request)) == 2

    asyncio.run(story())


def test_jobs_that_were_fetched_ahead_go_back_uncharged_and_the_running_one_ends(
    dsn: str, bench: Bench
) -> None:
    with WorkerProcess(dsn, concurrency=1) as worker:
        worker.ready()
        bench.until_gone(*bench.enqueue("noop", count=100))
        first, *others = bench.enqueue("nap", count=400, seconds=8.0)
        # Behind a backlog they would wait for ten seconds.
        bench.until("SELECT count(*) > 40 FROM queueworker.jobs WHERE state = 'running'")
        bench.until_noted(first)
        assert pause(bench)
        back = "SELECT count(*) = 399 FROM queueworker.jobs WHERE state = 'ready' AND attempt = 0"
        bench.until(back, within_s=6.0)
        assert bench.state(first) == ("running", 1)
        bench.until_gone(first)
        until_swept_twice(bench)

        assert bench.notes(*others) == []
        assert bench.notes(first) == ["start", "end"]


def test_a_pause_outlives_the_workers_and_a_restarted_one_leaves_the_queue_alone(
    dsn: str, bench: Bench
) -> None:
    (job,) = bench.enqueue("quick")
    assert pause(bench)
    for _ in range(2):
        with WorkerProcess(dsn) as worker:
            worker.ready()
            until_swept_twice(bench)
            assert bench.state(job) == ("ready", 0)
            assert worker.stop() == 0
    with WorkerProcess(dsn) as worker:
        worker.ready()
        until_swept_twice(bench)
        assert pause(bench, paused=False)
        assert bench.until_noted(job, "quick") < 1.0


def test_a_paused_queue_keeps_no_other_queue_of_the_worker_from_its_work(
    dsn: str, bench: Bench
) -> None:
    mails = bench.enqueue("nap", count=20, seconds=0.05)
    assert pause(bench)
    with WorkerProcess(dsn, "--queue", "mail", "--queue", "reports") as worker:
        worker.ready()
        bench.until_gone(*bench.enqueue("report", queue="reports", count=20))

    assert bench.notes(*mails) == []


def test_pauses_shorter_than_a_look_lose_no_wake_up(dsn: str, bench: Bench) -> None:
    with WorkerProcess(dsn, environ={"QUEUEWORKER_POLL_S": "60"}) as worker:
        worker.ready()
        bench.until("SELECT idle FROM queueworker.queue WHERE name = 'mail'")
        for _ in range(20):
            assert pause(bench)
            (job,) = bench.enqueue("quick")
            assert pause(bench, paused=False)
            assert bench.until_noted(job, "quick") < 1.0


def test_a_move_keeps_the_pause(dsn: str, bench: Bench) -> None:
    jobs = bench.enqueue("quick", count=5)
    with WorkerProcess(dsn, "--queue", "reports", "--queue", "mail") as worker:
        assert pause(bench)
        worker.ready()
        assert run_command(dsn, "queue", "create", "mail").returncode == 0
        until_swept_twice(bench)
        assert [bench.state(job) for job in jobs] == [("ready", 0)] * 5
        assert pause(bench, paused=False)
        bench.until_gone(*jobs)


def test_the_commands_say_the_same_twice_and_show_the_state(dsn: str, conn: Connection) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'quick')")
    for action, said, state in (
        ("pause", "queue mail is paused\n", "paused"),
        ("resume", "queue mail is claimed from again\n", ""),
    ):
        for _ in range(2):
            answer = run_command(dsn, "queue", action, "mail")
            assert (answer.returncode, answer.stdout, answer.stderr) == (0, said, "")
        (listed,) = json.loads(run_command(dsn, "queue", "list", "--json").stdout)
        assert listed["state"] == state
        is_paused = state == "paused"
        for shown in (("queue", "list"), ("stats",)):
            assert ("paused" in run_command(dsn, *shown).stdout) is is_paused
        (stats,) = json.loads(run_command(dsn, "stats", "--json").stdout)
        assert stats["paused"] is is_paused
        # What comes meanwhile is kept.
        assert run_command(dsn, "enqueue", "--queue", "mail", "--task", "quick").returncode == 0


def test_sql_says_the_same_twice_and_takes_effect_with_the_transaction(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("SELECT queueworker.enqueue('mail', 'quick')")
        conn.commit()
        query = "SELECT paused FROM queueworker.queue_lag('{mail}')"
        for paused in (True, True, False, False):
            assert conn.execute(
                "SELECT queueworker.queue_pause('mail', %s)", (paused,)
            ).fetchone() == (True,)
            conn.commit()
            assert conn.execute(query).fetchone() == (paused,)
        conn.execute("SELECT queueworker.queue_pause('mail', true)")
        conn.rollback()
        assert conn.execute(query).fetchone() == (False,)


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_an_unknown_queue_is_an_error_and_is_not_made(
    dsn: str, conn: Connection, action: str
) -> None:
    answer = run_command(dsn, "queue", action, "nothing")

    assert answer.returncode != 0
    assert "nothing" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert conn.execute(
        "SELECT queueworker.queue_pause('nothing', %s)", (action == "pause",)
    ).fetchone() == (False,)
    assert conn.execute("SELECT count(*) FROM queueworker.queue").fetchone() == (0,)
