"""Each role may do its work, and nothing else: an object that is not named here is the owner's alone."""

import asyncio
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from tests.support.engine import engine, load, succeed
from tests.support.postgres import Connection
from tests.support.rights import Rights, granted
from tests.support.worker_process import Bench, WorkerProcess, run_command

pytestmark = pytest.mark.postgres

JOB_TABLES = ("job", "job_default", "job_qN")
MAY: Rights = {
    "enqueue": {"EXECUTE enqueue", "EXECUTE enqueue_batch", "EXECUTE enqueue_many"},
    "reader": {
        "EXECUTE cancelled_total",
        "EXECUTE decisions",
        "EXECUTE queue_lag",
        "EXECUTE dry_run_minutes",
        "EXECUTE worker_state",
        "SELECT dead_letters",
        "SELECT failures",
        "SELECT jobs",
        "SELECT migration",
        "SELECT queue",
    },
    "operator": {
        "EXECUTE decisions",
        "EXECUTE drain_for",
        "EXECUTE end_lease",
        "EXECUTE load_state",
        "EXECUTE maintain",
        "EXECUTE queue_lag",
        "EXECUTE record_decision",
        "EXECUTE record_minute",
        "EXECUTE rescue",
        "EXECUTE save_state",
        "EXECUTE set_drain",
        "EXECUTE sweep",
        "EXECUTE dry_run_minutes",
        "EXECUTE worker_state",
        "SELECT migration",
    },
    "worker": {
        "EXECUTE enqueue",
        "EXECUTE cancel",
        "EXECUTE cancelled_runs",
        "EXECUTE cancelled_total",
        "EXECUTE check_copied",
        "EXECUTE enqueue_batch",
        "EXECUTE enqueue_many",
        "EXECUTE ensure_queue",
        "EXECUTE maintain",
        "EXECUTE queue_lag",
        "EXECUTE queue_move_some",
        "EXECUTE isolate",
        "EXECUTE register_worker",
        "EXECUTE reserve_positions",
        "EXECUTE rescue",
        "EXECUTE set_idle",
        "EXECUTE sweep_queue",
        "EXECUTE worker_state",
        *(
            f"SELECT {name}"
            for name in ("claim", "worker", "failure", "lane", "migration", "queue")
        ),
        *(f"SELECT {name}" for name in ("jobs", "failures", "dead_letters", *JOB_TABLES)),
        *(f"DELETE {name}" for name in ("claim", "worker", *JOB_TABLES)),
        *(f"INSERT {name}" for name in ("claim", "dead_job", "failure", "finished_job", "stat")),
        # What COPY writes: no token, no attempt, no key.
        *(f"INSERT job({c})" for c in ("id", "pos", "lane_id", "queue_id", "created_at", "run_at")),
        *(f"INSERT job({c})" for c in ("max_attempts", "timeout_s", "args")),
        # Of a row it changes what claims, completions and renewals change: no payload, no drain flag.
        *(f"UPDATE {t}({c})" for t in JOB_TABLES for c in ("token", "attempt", "pos")),
        *(f"UPDATE {t}({c})" for t in JOB_TABLES for c in ("run_at", "crash_count")),
        "UPDATE claim(started)",
        *(
            f"UPDATE worker({c})"
            for c in ("slots", "busy", "held", "busy_by_queue", "held_by_queue")
        ),
        *(
            f"UPDATE worker({c})"
            for c in ("draining", "oldest_start_at", "renewed_at", "expires_at")
        ),
        *(f"USAGE {name}" for name in ("job_token", "position_qN", "requeued_qN", "claimed_qN")),
    },
}
# Decided for objects that a database gets only in some uses of it.
OPTIONAL: Rights = {"worker": {"EXECUTE promote_more"}}


def test_every_right_on_every_object_was_decided(conn: Connection) -> None:
    conn.execute("SELECT queueworker.queue_create('mail'), queueworker.ensure_queue('other')")
    conn.execute("SELECT queueworker.maintain(true)")
    held = granted(conn)

    assert set(held) == set(MAY)  # nothing is everybody's
    for role, rights in held.items():
        assert rights - OPTIONAL.get(role, set()) == MAY[role], role


def test_a_right_that_nobody_decided_on_is_noticed(conn: Connection) -> None:
    conn.execute("CREATE TABLE queueworker.new_table (x int)")
    conn.execute("GRANT SELECT ON queueworker.new_table TO queueworker_reader")
    conn.execute("GRANT UPDATE (args) ON queueworker.job TO queueworker_worker")
    conn.execute(
        "CREATE FUNCTION queueworker.new_function() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    )
    held = granted(conn)

    assert "SELECT new_table" in held["reader"]
    assert "UPDATE job(args)" in held["worker"]
    assert held["PUBLIC"] == {"EXECUTE new_function"}


@pytest.fixture
def logins(dsn: str, conn: Connection) -> Iterator[dict[str, str]]:
    """Give a DSN for a login of each role; none is owner or superuser."""
    names = {role: f"mail_{role}_{uuid.uuid4().hex[:8]}" for role in MAY}
    for role, name in names.items():
        conn.execute(f"CREATE ROLE {name} LOGIN IN ROLE queueworker_{role}")
    yield {role: dsn.replace("user=postgres", f"user={name}") for role, name in names.items()}
    for name in names.values():
        conn.execute(f"DROP OWNED BY {name}")
        conn.execute(f"DROP ROLE {name}")


def test_the_worker_role_can_run_jobs_from_end_to_end(
    conn: Connection, logins: dict[str, str]
) -> None:
    async def scenario() -> tuple[int, int, dict[str, int]]:
        # The partition is made by the owner after the grants, the queue's sequences by the worker.
        async with engine(logins["worker"], "mail") as e:
            conn.execute("SELECT queueworker.queue_create('mail')")
            await e.enqueue(4)
            worker = await e.worker(pod="x")
            assert (await e.store.renew(worker, 30, load(busy=1))).alive
            jobs = await e.claim(worker, 3)
            queue = await e.store.queue("mail")
            await e.store.mark_started(jobs[0].token, 3)
            await e.store.complete(queue, [succeed(job) for job in jobs[:2]])
            await e.store.release(queue, jobs[2].token, [jobs[2].id])
            lanes = [lane.id for lane in await e.store.lanes(queue.id, ["a"])]
            swept = await e.store.sweep(queue.id, lanes)
            await e.store.set_idle(queue.id, idle=True)
            await e.store.rescue()
            await e.store.deregister(worker)
            return len(jobs), len(swept), await e.states()

    claimed, swept, states = asyncio.run(scenario())

    assert (claimed, swept) == (3, 1)
    assert states == {"ready": 2}


def test_each_part_works_as_its_own_role(
    dsn: str, conn: Connection, logins: dict[str, str]
) -> None:
    conn.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")  # the ledger of the test's tasks
    with (
        WorkerProcess(logins["worker"]) as worker,
        Bench(dsn) as bench,
    ):
        conn.execute("GRANT ALL ON ledger TO PUBLIC")
        worker.ready()
        sent = run_command(
            logins["enqueue"],
            "enqueue",
            "--queue",
            "mail",
            "--task",
            "quick",
            "--unique-key",
            "one",
        )
        assert sent.returncode == 0, sent.stderr
        bench.until_gone(int(sent.stdout))
        stats = run_command(logins["reader"], "stats", "--queue", "mail")
        status = worker.stop(20)

    assert stats.returncode == 0, stats.stderr
    assert "mail" in stats.stdout
    assert status == 0, worker.log
    assert "lacks a right" not in worker.log


FORBIDDEN = {
    "change a payload": "UPDATE queueworker.job SET args = '{}'",
    "change whose payload it is": "UPDATE queueworker.job SET id = 1",
    "move a job into another queue": "UPDATE queueworker.job SET queue_id = 1",
    "insert a running job": "INSERT INTO queueworker.job (id, token) VALUES (1, 1)",
    "insert a job with a key": "INSERT INTO queueworker.job (id, unique_key) VALUES (1, 'x')",
    "place a job": "SELECT queueworker.place_job('mail', 'a', '{}', NULL, 0, NULL, 5, NULL, 'keep')",
    "take over a claim": "UPDATE queueworker.claim SET worker_id = gen_random_uuid()",
    "empty a claim": "UPDATE queueworker.claim SET ids = '{}'",
    "be another worker": "UPDATE queueworker.worker SET id = gen_random_uuid()",
    "undo a drain": "UPDATE queueworker.worker SET drain = false",
    "drain others": "SELECT queueworker.set_drain('{}', true)",
    "raise a floor": "UPDATE queueworker.lane SET floor = 1",
    "unpause a queue": "UPDATE queueworker.queue SET paused = false",
    "pause a queue": "SELECT queueworker.queue_pause('mail', true)",
    "change a dead letter": "UPDATE queueworker.dead_job SET args = '{}'",
    "delete dead letters": "DELETE FROM queueworker.dead_job",
    "purge dead letters": "SELECT queueworker.dead_purge('mail')",
    "falsify counters": "UPDATE queueworker.queue_counter SET started = 0",
    "delete errors": "DELETE FROM queueworker.failure",
    "set a sequence back": "SELECT setval('queueworker.job_token', 1)",
    "use up the queues' numbers": "SELECT nextval('queueworker.queue_id')",
    "read the operator's state": "SELECT * FROM queueworker.operator_state",
    "record a decision": "SELECT queueworker.record_decision('x', '{}')",
    "empty a table": "TRUNCATE queueworker.job",
    "make a table": "CREATE TABLE queueworker.mine (x int)",
    "make a function": "CREATE FUNCTION queueworker.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "add a trigger": "CREATE TRIGGER t AFTER INSERT ON queueworker.job EXECUTE FUNCTION now()",
    "become the owner": "SET ROLE queueworker_owner",
    "grant itself a right": "GRANT ALL ON queueworker.job TO PUBLIC",
    "run a helper of the owner": "SELECT queueworker.grant_roles()",
}
MORE_FOR_THE_OPERATOR = {"drain others", "record a decision"}


@pytest.mark.parametrize("role", list(MAY))
def test_no_role_can_reach_beyond_its_work(
    role: str, conn: Connection, logins: dict[str, str]
) -> None:
    conn.execute("SELECT queueworker.enqueue('mail', 'a')")
    possible = set()
    with psycopg.connect(logins[role], autocommit=True) as mine:
        for what, statement in FORBIDDEN.items():
            try:
                mine.execute(statement)
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFunction):
                continue
            possible.add(what)

    assert possible - {"grant itself a right"} == (
        MORE_FOR_THE_OPERATOR if role == "operator" else set()
    )
    assert granted(conn).get("PUBLIC") is None
