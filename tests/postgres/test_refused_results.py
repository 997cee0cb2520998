"""A result that the database does not take stops no other, and its job is not lost."""

import asyncio

import pytest
from tests.support.engine import engine
from tests.support.worker_process import Bench, WorkerProcess

from queueworker import complete
from queueworker.complete import Completer
from queueworker.dsn import Dsn
from queueworker.link import Link

pytestmark = pytest.mark.postgres

REFUSE = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION USING MESSAGE = ''no''; END';
"""
REFUSE_TEXT = """
    CREATE TRIGGER refuse BEFORE INSERT ON queueworker.failure FOR EACH ROW
    WHEN (NEW.error LIKE '%poison%') EXECUTE FUNCTION public.refuse();
"""
REFUSE_END = """
    CREATE TRIGGER refuse BEFORE DELETE ON queueworker.job_default FOR EACH ROW
    WHEN (OLD.args ? 'poison') EXECUTE FUNCTION public.refuse();
"""
LEFT = "SELECT count(*) FROM queueworker.job"


def test_errors_that_cannot_be_stored_bury_their_jobs_and_stop_no_other(
    dsn: str, bench: Bench
) -> None:
    bench.conn.execute(REFUSE + REFUSE_TEXT)
    ids = bench.enqueue("fail", count=3)
    poisoned = bench.enqueue("fail", count=2, text="poison", max_attempts=3)
    ids += bench.enqueue("quick", count=50)
    with WorkerProcess(dsn) as worker:
        bench.until_gone(*ids, *poisoned)
        bench.until("SELECT count(*) = 0 FROM queueworker.claim")
        assert worker.stop(10) == 0

    dead = dict(bench.conn.execute("SELECT id, error FROM queueworker.dead_job").fetchall())
    assert set(dead) == {*ids[:3], *poisoned}
    assert all("could not be stored" in dead[job] for job in poisoned)
    assert not any("could not be stored" in dead[job] for job in ids[:3])
    assert len(bench.notes(*poisoned)) == 2


def test_what_cannot_be_written_at_all_is_tried_again_later(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complete, "REFUSED_PUT_OFF_S", 0.2)

    async def scenario() -> tuple[int, int, int]:
        async with engine(dsn) as e:
            await e.conn.execute(REFUSE + REFUSE_END)
            await e.enqueue(30)
            await e.enqueue(1, args='{"poison": 1}')
            link = Link(Dsn.parse(dsn), "completions")
            completer = Completer(link)
            outbox = completer.outbox(e)
            for job in await e.claim(await e.worker(), 31):
                outbox.succeeded(job)
            await completer.write()
            left, unwritten = await e.one(LEFT), completer.unwritten
            await e.conn.execute("DROP TRIGGER refuse ON queueworker.job_default")
            writer = asyncio.create_task(completer.run())
            await completer.flushed()
            writer.cancel()
            await link.close()
            return left, unwritten, await e.one(LEFT)

    assert asyncio.run(scenario()) == (1, 1, 0)
