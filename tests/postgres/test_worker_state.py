"""What the operator reads of single workers, and what it tells them."""

import asyncio

import psycopg
import pytest
from tests.support.engine import engine, load

from queueworker.store import WorkerLoad

pytestmark = pytest.mark.postgres


def test_worker_state_shows_what_the_operator_chooses_by(dsn: str) -> None:
    async def scenario() -> tuple[object, ...]:
        async with engine(dsn) as e:
            worker = await e.worker(pod="mail-1", ttl_s=30)
            await e.store.renew(
                worker, 30, WorkerLoad(slots=10, busy=1, held=2, oldest_start_age_s=7.0)
            )
            changed = await e.one("SELECT queueworker.set_drain(%s, true)", [worker])
            again = await e.one("SELECT queueworker.set_drain(%s, true)", [worker])
            renewal = await e.store.renew(worker, 30, load())
            (row,) = await e.store.worker_state(["mail"])
            return changed, again, renewal.drain, row.pod, row.drain, row.lease_remaining_s

    changed, again, drain, pod, flag, remaining_s = asyncio.run(scenario())

    assert (changed, again, drain, pod, flag) == (1, 0, True, "mail-1", True)
    assert remaining_s == pytest.approx(30, abs=5)


def test_a_drain_flag_is_heard_at_once(dsn: str) -> None:
    async def scenario() -> tuple[str, str]:
        async with engine(dsn) as e:
            worker = await e.worker()
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as ear:
                await ear.execute("LISTEN queueworker")
                await e.one("SELECT queueworker.set_drain(%s, true)", [worker])
                async for notice in ear.notifies(timeout=5, stop_after=1):
                    return notice.payload, f"drain:{worker}"
        return "", "nothing heard"

    heard, expected = asyncio.run(scenario())

    assert heard == expected
