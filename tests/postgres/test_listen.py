"""A worker that listens has proved that notifications arrive; else it polls, and says why."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import sql
from tests.support.fault_proxy import GOOD, SILENT, FaultProxy, socket_of, through

from queueworker import listen
from queueworker.dsn import Dsn
from queueworker.link import Link
from queueworker.listen import Listener

pytestmark = pytest.mark.postgres

KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s"


class Ears:
    """What a listener told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.armed: list[bool] = []
        self._changed = asyncio.Event()

    def hear(self, kind: str, subject: str) -> None:
        self.heard.append((kind, subject))
        self._changed.set()

    def arm(self, is_armed: bool) -> None:
        self.armed.append(is_armed)
        self._changed.set()

    async def until(self, condition: Callable[[], bool], within_s: float = 12.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def listening(listen_dsn: str, dsn: str) -> AsyncIterator[Ears]:
    ears = Ears()
    link, main = Link(Dsn.parse(listen_dsn), "listen"), Link(Dsn.parse(dsn), "claims")
    task = asyncio.create_task(Listener(link, main, ears.hear, ears.arm).run())
    try:
        yield ears
    finally:
        task.cancel()
        await asyncio.wait([task])
        await link.close()
        await main.close()


def notify(dsn: str, payload: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT pg_notify('queueworker', %s)", (payload,))


def test_it_is_armed_by_a_notification_and_passes_the_others_on(dsn: str) -> None:
    async def run() -> None:
        async with listening(dsn, dsn) as ears:
            await ears.until(lambda: ears.armed == [True])
            notify(dsn, "job:mail")
            await ears.until(lambda: bool(ears.heard))
            assert ears.heard == [("job", "mail")]

    asyncio.run(run())


def test_an_address_of_another_database_is_found_out(
    dsn: str, empty_dsn: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "PROOF_WITHIN_S", 0.5)

    async def run() -> None:
        async with listening(empty_dsn, dsn) as ears:
            await ears.until(lambda: bool(ears.armed))
            assert ears.armed == [False]

    asyncio.run(run())

    assert "no notification arrives" in caplog.text


def test_it_listens_again_after_a_loss(dsn: str) -> None:
    async def run() -> None:
        async with listening(dsn, dsn) as ears:
            await ears.until(lambda: ears.armed == [True])
            with psycopg.connect(dsn, autocommit=True) as conn:
                conn.execute(KILL, ("queueworker listen",))
            await ears.until(lambda: ears.armed == [True, False, True])
            notify(dsn, "lane:mail")
            await ears.until(lambda: bool(ears.heard))

    asyncio.run(run())


def test_silence_is_noticed_within_ten_seconds(dsn: str) -> None:
    async def run(proxy: FaultProxy) -> None:
        async with listening(through(dsn, proxy), dsn) as ears:
            await ears.until(lambda: ears.armed == [True])
            proxy.plan = SILENT
            await ears.until(lambda: ears.armed == [True, False], within_s=10)
            proxy.plan = GOOD
            await ears.until(lambda: ears.armed[-1], within_s=10)

    with FaultProxy(socket_of(dsn)) as proxy:
        asyncio.run(run(proxy))


def test_a_server_that_became_read_only_is_left(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with listening(dsn, dsn) as ears:
            await ears.until(lambda: ears.armed == [True])
            with psycopg.connect(dsn, autocommit=True) as conn:
                name = sql.Identifier(conn.info.dbname)
                change = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on")
                conn.execute(change.format(name))
                # What a reload does to living sessions of a demoted primary, done to this one alone.
                conn.execute(KILL, ("queueworker listen",))
            await ears.until(lambda: ears.armed[:2] == [True, False])
            await ears.until(lambda: "read-only" in caplog.text or bool(ears.heard), within_s=12)

    asyncio.run(run())
    assert "read-only" in caplog.text
