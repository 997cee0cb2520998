"""The database knows since when a worker drains, whoever asked for it and whatever its version."""

import asyncio
import signal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from tests.support.engine import Engine, engine
from tests.support.loops import execute
from tests.support.worker_process import Bench, WorkerProcess

from queueworker.schema import migrate, migrations
from queueworker.store import WorkerLoad
from queueworker_operator.errors import GrantMissing
from queueworker_operator.lag import WorkerState
from queueworker_operator.lag.postgres import PostgresLag

pytestmark = pytest.mark.postgres

WITHOUT_DRAIN_TIMES = 18
SINCE = "SELECT drain_at FROM queueworker.worker"
AS_A_WORKER = "SET ROLE queueworker_worker"


async def state_of(dsn: str) -> WorkerState:
    """Read the only worker as the operator does."""
    source = PostgresLag(dsn)
    try:
        [state] = await source.workers(["mail"])
    finally:
        await source.close()
    return state


async def tell(e: Engine, worker: UUID, *, draining: bool) -> None:
    """Renew as a worker does, which says of itself whether it drains."""
    await e.store.renew(worker, 60, WorkerLoad(slots=10, busy=1, held=0, draining=draining))


async def ask(e: Engine, worker: UUID, *, drain: bool) -> None:
    await e.one("SELECT queueworker.set_drain(%s, %s)", [worker], drain)


def test_a_worker_that_does_not_drain_has_no_time_of_it(dsn: str) -> None:
    async def scene() -> WorkerState:
        async with engine(dsn) as e:
            await tell(e, await e.worker(), draining=False)
            return await state_of(dsn)

    state = asyncio.run(scene())

    assert (state.drain, state.drain_age_s, state.drain_remaining_s) == (False, None, None)


def test_a_drain_counts_from_the_flag_through_the_workers_answer_and_further_asks(dsn: str) -> None:
    async def scene() -> tuple[list[Any], WorkerState]:
        async with engine(dsn) as e:
            worker = await e.worker()
            await e.one("SELECT queueworker.drain_for(%s, 60)", [worker])
            seen = [await e.one(SINCE)]
            await tell(e, worker, draining=True)
            seen.append(await e.one(SINCE))
            await e.one("SELECT queueworker.drain_for(%s, 60)", [worker])
            seen.append(await e.one(SINCE))
            return seen, await state_of(dsn)

    seen, state = asyncio.run(scene())

    assert seen[0] is not None
    assert len(set(seen)) == 1
    assert state.drain_age_s == pytest.approx(0, abs=5)
    assert state.drain_remaining_s == pytest.approx(60, abs=5)


def test_the_time_goes_with_the_drain_when_the_flag_and_the_workers_word_are_down(dsn: str) -> None:
    async def scene() -> list[Any]:
        async with engine(dsn) as e:
            worker = await e.worker()
            await ask(e, worker, drain=True)
            await tell(e, worker, draining=True)
            await ask(e, worker, drain=False)
            seen = [await e.one(SINCE)]  # it has not heard of that yet
            await tell(e, worker, draining=False)
            seen.append(await e.one(SINCE))
            await ask(e, worker, drain=True)
            seen.append(await e.one(SINCE))
            return seen

    heard, over, anew = asyncio.run(scene())

    assert over is None
    assert heard < anew


def test_a_drain_that_ends_by_itself_takes_its_time_along(dsn: str) -> None:
    async def scene() -> tuple[Any, Any]:
        async with engine(dsn) as e:
            worker = await e.worker()
            await e.one("SELECT queueworker.drain_for(%s, 0)", [worker])
            before = await e.one(SINCE)
            await execute(dsn, "SELECT queueworker.rescue()")
            return before, await e.one(SINCE)

    before, after = asyncio.run(scene())

    assert (before is None, after) == (False, None)


def test_a_worker_of_least_rights_needs_none_on_the_time_and_cannot_write_it(dsn: str) -> None:
    async def scene() -> WorkerState:
        async with engine(dsn) as e:
            worker = await e.worker()
            await e.conn.execute(AS_A_WORKER)
            await tell(e, worker, draining=True)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await e.conn.execute("UPDATE queueworker.worker SET drain_at = NULL")
            return await state_of(dsn)

    state = asyncio.run(scene())

    assert (state.drain, state.draining) == (False, True)
    assert state.drain_age_s is not None
    assert state.drain_remaining_s is None


def test_a_worker_that_got_a_sigterm_drains_since_then(dsn: str) -> None:
    with Bench(dsn) as bench, WorkerProcess(dsn, environ={"QUEUEWORKER_GRACE_S": "10"}) as worker:
        (job,) = bench.enqueue("nap", seconds=3.0)
        bench.until_noted(job)
        worker.signal(signal.SIGTERM)
        state = "FROM queueworker.worker_state('{mail}')"
        bench.until(f"SELECT draining AND drain_age_s < 2 {state}", within_s=2)
        assert bench.one(f"SELECT drain {state}") is False
        assert worker.wait(within_s=10) == 0


def test_renewals_and_drains_are_hot_updates_and_a_renewal_is_one_of_them(dsn: str) -> None:
    async def scene() -> tuple[int, int]:
        async with engine(dsn) as e:
            worker = await e.worker()
            for number in range(40):
                await ask(e, worker, drain=number % 2 == 0)
                await tell(e, worker, draining=False)
            await e.one("SELECT pg_stat_force_next_flush()")
            [updates] = await e.all(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'worker'"
            )
            return updates

    updated, hot = asyncio.run(scene())

    assert updated == 40 * 3  # a renewal, a change of the flag, and its time
    assert hot == updated


def test_a_drain_that_began_before_the_schema_had_the_time_is_unknown_and_not_new(
    empty_dsn: str,
) -> None:
    async def scene() -> tuple[WorkerState, WorkerState]:
        with psycopg.connect(empty_dsn, autocommit=True) as conn:
            migrate(conn, create_roles=True, files_=migrations()[:WITHOUT_DRAIN_TIMES])
            async with engine(empty_dsn) as e:
                worker = await e.worker()
                await ask(e, worker, drain=True)
                migrate(conn, create_roles=True)
                before = await state_of(empty_dsn)
                await tell(e, worker, draining=True)
                return before, await state_of(empty_dsn)

    before, after = asyncio.run(scene())

    assert (before.drain, before.drain_age_s) == (True, None)
    assert (after.drain, after.drain_age_s) == (True, None)


def test_on_the_schema_of_before_the_operator_is_told_to_migrate(empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        migrate(conn, create_roles=True, files_=migrations()[:WITHOUT_DRAIN_TIMES])

    with pytest.raises(GrantMissing, match="a column is missing: run queueworker migrate"):
        asyncio.run(state_of(empty_dsn))
