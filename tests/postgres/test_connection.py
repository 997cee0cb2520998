"""Every connection has limits, finds the writable server, and ends when nobody answers."""

import ast
import asyncio
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from tests.support.fault_proxy import SILENT, FaultProxy, Plan, socket_of, through
from tests.support.postgres import Connection

from queueworker import App
from queueworker.connection import COMMAND, PRODUCER, WORKER, Limits, connect, connect_sync
from queueworker.dsn import Dsn
from queueworker.errors import (
    DatabaseUnavailable,
    LockTimeout,
    QueueWorkerError,
    TransactionConflict,
)
from queueworker.link import Link
from queueworker.metrics import CONFLICTS, LOCK_TIMEOUTS, RECONNECTS
from queueworker.store import Store
from queueworker.translation import translate

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).parents[2]
LIBRARY = sorted(ROOT.glob("worker/queueworker/**/*.py"))
SHOW = (
    "SELECT array_agg(setting::bigint ORDER BY name) FROM pg_settings WHERE name IN"
    " ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')"
)


def limits_ms(limits: Limits) -> list[float]:
    return [
        1000 * value for value in (limits.idle_in_transaction_s, limits.lock_s, limits.statement_s)
    ]


@pytest.mark.parametrize("limits", [WORKER, PRODUCER, COMMAND])
def test_every_kind_of_connection_has_its_limits(dsn: str, limits: Limits) -> None:
    async def shown() -> list[int]:
        conn = await connect(Dsn.parse(dsn), application_name="test", limits=limits)
        async with conn:
            return ((await (await conn.execute(SHOW)).fetchone()) or ([],))[0]

    with connect_sync(Dsn.parse(dsn), application_name="test", limits=limits) as conn:
        row = conn.execute(SHOW).fetchone()

    assert row == (limits_ms(limits),)
    assert asyncio.run(shown()) == limits_ms(limits)
    assert min(limits_ms(limits)) > 0


def test_only_one_module_opens_connections() -> None:
    """So no statement of the library runs on a connection without limits."""
    opening = set()
    for path in LIBRARY:
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr == "connect":
                opening.add(path.name)

    # `embedded` asks a socket whether its own server runs.
    assert opening == {"connection.py", "cluster.py"}


def test_the_users_own_options_stand(dsn: str) -> None:
    address = Dsn.parse(f"{dsn} options='-c statement_timeout=1234'")

    with connect_sync(address, application_name="test") as conn:
        assert conn.execute("SHOW statement_timeout").fetchone() == ("1234ms",)
        assert conn.execute("SHOW lock_timeout").fetchone() == ("1min",)


def test_a_statement_that_waits_for_a_lock_ends_and_keeps_its_connection(
    dsn: str, conn: Connection
) -> None:
    before = LOCK_TIMEOUTS.labels("test")._value.get()
    reconnects = RECONNECTS.labels("test")._value.get()

    async def run() -> float:
        link = Link(Dsn.parse(dsn), "test")
        await link.call(Store.schema_version)
        began_s = time.monotonic()
        with pytest.raises(LockTimeout, match="55P03"):
            await link.call(lambda store: store.queue("mail"))
        took_s = time.monotonic() - began_s
        await link.call(Store.schema_version)
        assert link.opened == 1
        await link.close()
        return took_s

    with conn.transaction():
        conn.execute("LOCK TABLE queueworker.queue IN ACCESS EXCLUSIVE MODE")
        took_s = asyncio.run(run())

    assert WORKER.lock_s <= took_s < WORKER.lock_s + 2
    assert LOCK_TIMEOUTS.labels("test")._value.get() == before + 1
    assert RECONNECTS.labels("test")._value.get() == reconnects


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_conflict_is_done_again_on_the_same_connection(dsn: str, state: str) -> None:
    conflicts = CONFLICTS.labels("test")
    before = conflicts._value.get()
    tries = 0

    async def work(store: Store) -> int:
        nonlocal tries
        tries += 1
        if tries < 3:
            block = sql.SQL("DO {}").format(
                sql.Literal(f"BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END")
            )
            await store.fetch(block, {})
        return await store.schema_version()

    async def run() -> int:
        link = Link(Dsn.parse(dsn), "test")
        version = await link.insist(work)
        assert link.opened == 1
        await link.close()
        return version

    assert asyncio.run(run()) > 0
    assert tries == 3
    assert conflicts._value.get() == before + 2


def test_no_answer_ends_a_call_in_time_and_ends_the_servers_work(
    dsn: str, conn: Connection
) -> None:
    async def run() -> float:
        link = Link(Dsn.parse(dsn), "test")
        began_s = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match=r"no answer within 0\.5 s"):
            await link.call(lambda store: store.fetch(sql.SQL("SELECT pg_sleep(30)"), {}), 0.5)
        await link.close()
        return time.monotonic() - began_s

    assert asyncio.run(run()) < 1.5
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    assert conn.execute(asleep).fetchone() == (0,)


def test_silence_ends_a_call_in_time(dsn: str) -> None:
    async def run(address: str, proxy: FaultProxy) -> float:
        link = Link(Dsn.parse(address), "test")
        await link.call(Store.schema_version)
        proxy.plan = SILENT
        began_s = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="no answer"):
            await link.call(Store.schema_version, 1.0)
        await link.close()
        return time.monotonic() - began_s

    with FaultProxy(socket_of(dsn)) as proxy:
        assert asyncio.run(run(through(dsn, proxy), proxy)) < 2.5


def test_the_writable_one_of_several_servers_is_found(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        database = sql.Identifier(conn.info.dbname)
        conn.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(database)
        )
    with FaultProxy(socket_of(dsn)) as dead:
        dead.plan = Plan(refuses=True)
        fields = dict(part.split("=", 1) for part in dsn.split())
        both = dsn.replace(f"host={fields['host']}", f"host=127.0.0.1,{fields['host']}")
        address = Dsn.parse(f"{both} port={dead.port},5432")
        # The one that lives is read-only: workers do not take it, in spite of its answer.
        with pytest.raises(DatabaseUnavailable):
            connect_sync(address, application_name="test")
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("SET default_transaction_read_only = off")
            conn.execute(
                sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(database)
            )
        with connect_sync(address, application_name="test") as found:
            assert found.info.host == fields["host"]


def test_a_read_only_server_is_told_from_a_failure(dsn: str) -> None:
    async def run() -> None:
        link = Link(Dsn.parse(f"{dsn} options='-c default_transaction_read_only=on'"), "test")
        with pytest.raises(DatabaseUnavailable, match="read-only") as caught:
            await link.call(lambda store: store.set_idle(1, idle=True))
        assert "25006" in str(caught.value)
        assert link.trouble is caught.value
        await link.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        ("40001", TransactionConflict, "try again"),
        ("40P01", TransactionConflict, "deadlock"),
        ("55P03", LockTimeout, "lock"),
        ("57014", DatabaseUnavailable, "time limit"),
        ("57P01", DatabaseUnavailable, "ended the connection"),
        ("25006", DatabaseUnavailable, "read-only"),
        ("26000", DatabaseUnavailable, "pooler"),
        ("42P05", DatabaseUnavailable, "pooler"),
        ("25P03", DatabaseUnavailable, "25P03"),
        ("53100", DatabaseUnavailable, "no room"),
        ("53300", DatabaseUnavailable, "no room"),
    ],
)
def test_each_state_says_what_to_do(state: str, kind: type[QueueWorkerError], said: str) -> None:
    error = translate(psycopg.errors.lookup(state)("secret"))

    assert type(error) is kind
    assert said in str(error)
    assert "secret" not in str(error)


def test_a_producer_fails_fast_and_says_where(dsn: str) -> None:
    with FaultProxy(socket_of(dsn)) as proxy:
        proxy.plan = Plan(refuses=True)
        app = App(through(dsn, proxy))

        @app.task()
        async def hello() -> None: ...

        began_s = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match=rf"127\.0\.0\.1 port={proxy.port}"):
            asyncio.run(app.enqueue(hello()))
        with pytest.raises(DatabaseUnavailable, match="check that it runs"):
            app.enqueue_sync(hello())
        assert time.monotonic() - began_s < 2
