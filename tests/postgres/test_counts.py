"""A worker's own counts are written once, whatever became of the answer."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.support.engine import Engine, engine
from tests.support.fault_proxy import FaultProxy, socket_of, through

from queueworker.counts import Counts
from queueworker.dsn import Dsn
from queueworker.errors import DatabaseUnavailable
from queueworker.link import Link
from queueworker.store import StatDelta

pytestmark = pytest.mark.postgres

COMMIT = b"COMMIT"
TOTAL = "SELECT coalesce(sum(started), 0)::int FROM queueworker.stat"


def in_engine(dsn: str, scenario: Callable[[Engine, Counts], Awaitable[None]]) -> None:
    async def run() -> None:
        async with engine(dsn) as e:
            counts = Counts()
            counts.add(e.queue, StatDelta(started=5))
            await scenario(e, counts)

    asyncio.run(run())


@pytest.mark.parametrize("must_pass", [True, False], ids=["committed", "lost"])
def test_counts_whose_answer_was_lost_are_written_once(dsn: str, must_pass: bool) -> None:
    async def scenario(e: Engine, counts: Counts) -> None:
        with FaultProxy(socket_of(dsn)) as proxy:
            cut = proxy.cut_at(COMMIT, must_pass=must_pass)
            link = Link(Dsn.parse(through(dsn, proxy)), "completions")
            with pytest.raises(DatabaseUnavailable):
                await link.call(counts.write)
            assert cut.is_set()
            assert len(counts) == 1
            while counts:
                await link.insist(counts.write)
            await link.close()
        assert await e.one(TOTAL) == 5

    in_engine(dsn, scenario)


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_counts_in_a_transaction_that_is_still_open_wait_for_its_end(dsn: str, end: str) -> None:
    async def scenario(e: Engine, counts: Counts) -> None:
        async with engine(dsn) as other:
            # As the first write, but its transaction goes on while nobody hears of it.
            (entry,) = counts._entries
            await other.conn.execute("BEGIN")
            entry.entered(await other.one("SELECT pg_current_xact_id()::text"))
            insert = "INSERT INTO queueworker.stat (queue_id, started) VALUES (%s, 5)"
            await other.conn.execute(insert, (e.queue.id,))
            await counts.write(e.store)
            assert len(counts) == 1
            assert await e.one(TOTAL) == 0
            await other.conn.execute(end.encode())
            await counts.write(e.store)
        assert len(counts) == 0
        assert await e.one(TOTAL) == 5

    in_engine(dsn, scenario)
