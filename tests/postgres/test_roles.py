import asyncio

import psycopg
import pytest
from tests.support.engine import engine, load, succeed
from tests.support.postgres import Connection

pytestmark = pytest.mark.postgres

ROLES = ("worker", "enqueue", "reader", "operator")
CALLS = {
    "enqueue": "SELECT queueworker.enqueue('mail', 'a')",
    "lag": "SELECT * FROM queueworker.queue_lag(ARRAY['mail'])",
    "workers": "SELECT * FROM queueworker.worker_state(ARRAY['mail'])",
    "jobs": "SELECT * FROM queueworker.jobs",
    "drain": "SELECT queueworker.set_drain('{}', true)",
    "end lease": "SELECT queueworker.end_lease('{}')",
    "sweep": "SELECT queueworker.sweep(ARRAY['mail'])",
    "rescue": "SELECT queueworker.rescue()",
    "save": "SELECT queueworker.save_state('x', '{}')",
    "record": "SELECT queueworker.record_decision('x', '{}')",
    "decisions": "SELECT * FROM queueworker.decisions('x', 1)",
    "delete jobs": "DELETE FROM queueworker.job",
    "insert running jobs": "INSERT INTO queueworker.job (id, token) VALUES (1, 1)",
    "insert jobs with a key": "INSERT INTO queueworker.job (id, unique_key) VALUES (1, 'x')",
    "enqueue a batch": "SELECT queueworker.enqueue_batch('mail', 'a', '[{}]', 0, 5, NULL)",
    "reserve positions": "SELECT queueworker.reserve_positions('mail', 'a', 0, 5, NULL, 1)",
    "place a job": "SELECT queueworker.place_job('mail', 'a', '{}', NULL, 0, NULL, 5, NULL, 'keep')",
    "read state": "SELECT * FROM queueworker.operator_state",
    "pause": "SELECT queueworker.queue_pause('mail', true)",
    "purge": "SELECT queueworker.dead_purge('mail')",
    "retry": "SELECT queueworker.dead_retry('mail')",
    "retain": "SELECT queueworker.queue_retain('mail', interval '1 day')",
    "maintain": "SELECT queueworker.maintain(true)",
    "dead letters": "SELECT * FROM queueworker.dead_letters",
    "errors": "SELECT * FROM queueworker.failures",
    "read finished jobs past the view": "SELECT * FROM queueworker.finished_job",
    "delete finished jobs": "DELETE FROM queueworker.finished_job",
    "change payloads": "UPDATE queueworker.job SET args = '{}'",
    "set a drain flag by hand": "UPDATE queueworker.worker SET drain = true",
    "queues": "SELECT name FROM queueworker.queue",
    "create a table": "CREATE TABLE queueworker.mine (x int)",
}
ALLOWED = {
    "worker": {
        "enqueue", "lag", "workers", "jobs", "queues", "rescue", "delete jobs", "maintain",
        "dead letters", "errors", "enqueue a batch", "reserve positions",
    },
    "enqueue": {"enqueue", "enqueue a batch"},
    "reader": {"lag", "workers", "jobs", "queues", "decisions", "dead letters", "errors"},
    "operator": {
        "lag", "workers", "drain", "end lease", "sweep", "rescue", "save", "record", "decisions",
        "maintain",
    },
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_a_role_can_do_its_work_and_nothing_else(role: str, conn: Connection) -> None:
    conn.execute("SELECT queueworker.ensure_queue('mail')")
    possible = set()
    for name, call in CALLS.items():
        with conn.transaction(force_rollback=True):
            conn.execute(f"SET LOCAL ROLE queueworker_{role}")  # names from this file
            try:
                conn.execute(call)
            except psycopg.errors.InsufficientPrivilege:
                continue
            possible.add(name)

    assert possible == ALLOWED[role]


def test_the_worker_role_can_run_jobs_from_end_to_end(dsn: str, conn: Connection) -> None:
    conn.execute("DROP ROLE IF EXISTS mail_worker")
    conn.execute("CREATE ROLE mail_worker LOGIN IN ROLE queueworker_worker")

    async def scenario() -> tuple[int, int, dict[str, int]]:
        as_worker = dsn.replace("user=postgres", "user=mail_worker")
        # The partition is made by the owner after the grants, the queue's sequences by the worker.
        async with engine(as_worker, "mail") as e:
            conn.execute("SELECT queueworker.queue_create('mail')")
            conn.execute("SELECT queueworker.queue_retain('mail', interval '1 day')")
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
            assert await e.store.maintain() is not None
            await e.store.deregister(worker)
            return len(jobs), len(swept), await e.states()

    claimed, swept, states = asyncio.run(scenario())

    assert (claimed, swept) == (3, 1)
    assert states == {"ready": 2, "succeeded": 2}
