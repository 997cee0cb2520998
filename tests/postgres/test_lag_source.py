"""Lag from a real Postgres: bounded, honest, and back by itself."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from tests.support.fault_proxy import GOOD, FaultProxy, Plan, socket_of, through
from tests.support.loops import enqueue, execute
from tests.support.postgres import CANARY, FAST
from tests.support.targets import pod_id

from queueworker import embedded
from queueworker.schema import migrate
from queueworker_operator.errors import AccessRefused, GrantMissing, LagUnavailable
from queueworker_operator.lag import Wake
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.settings import DatabaseSettings

pytestmark = pytest.mark.postgres

HASTY = DatabaseSettings(connect_timeout_s=1.0, call_timeout_s=0.5)


def run(scene: Coroutine[object, object, None]) -> None:
    asyncio.run(scene)


@asynccontextmanager
async def opened(dsn: str, settings: DatabaseSettings = HASTY) -> AsyncIterator[PostgresLag]:
    source = PostgresLag(dsn, settings=settings)
    try:
        yield source
    finally:
        await source.close()


async def until_read(source: PostgresLag, queue: str, within_s: float = 10.0) -> float:
    """Read until it succeeds; give the seconds that took."""
    began_s = time.monotonic()
    while True:
        try:
            await source.read([queue])
            return time.monotonic() - began_s
        except LagUnavailable:
            assert time.monotonic() - began_s < within_s
            await source.wait(0.1)


def test_all_queues_are_read_at_once_and_an_unknown_one_is_left_out(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 3, "mail")
        await enqueue(dsn, 5, "reports")
        async with opened(dsn) as source:
            lags = await source.read(["mail", "reports", "unknown"])

        assert {queue: lag.ready for queue, lag in lags.items()} == {"mail": 3, "reports": 5}
        assert lags["mail"].ready_by_task == {"work": 3}
        assert lags["mail"].due_5s == ()  # nothing is announced
        assert len(lags["mail"].wait_histogram) == 48

    run(scene())


def test_an_enqueue_into_a_tended_queue_wakes_the_source_and_others_do_not(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 1, "mail")
        await enqueue(dsn, 1, "other")
        async with opened(dsn) as source:
            await source.read(["mail"])
            await source.tend(["mail", "other"])
            await source.wait(5.0)  # the LISTEN itself wakes once
            await enqueue(dsn, 1, "other")
            began_s = time.monotonic()
            await source.wait(0.5)
            slept_s = time.monotonic() - began_s
            await enqueue(dsn, 1, "mail")
            began_s = time.monotonic()
            await source.wait(5.0)
            woken_s = time.monotonic() - began_s

        assert slept_s >= 0.4
        assert woken_s < 0.5

    run(scene())


def test_a_row_that_says_nothing_new_keeps_its_revision_and_gets_the_time_of_the_read(
    dsn: str,
) -> None:
    async def scene() -> None:
        for queue in ("mail", "still"):
            await enqueue(dsn, 1, queue)
        await execute(dsn, "DELETE FROM queueworker.job")
        async with opened(dsn) as source:
            await source.tend(["mail", "still"])
            before = await source.look(["mail", "still"])
            await enqueue(dsn, 1, "mail")
            after = await source.look(["mail", "still"])

        assert before.of("still").revision == after.of("still").revision > 0
        assert before.of("still").at_s < after.of("still").at_s == after.at_s
        assert before.of("mail").revision < after.of("mail").revision
        assert after.of("mail").enqueued_total == before.of("mail").enqueued_total + 1

    run(scene())


REGISTER = """
    SELECT queueworker.register_worker(
      gen_random_uuid(), 'pod', 'default', 'node', '1', ARRAY['served'], ARRAY['work'], 10, 3600)
"""


def test_work_for_a_queue_without_workers_is_the_more_urgent_wake_up(dsn: str) -> None:
    async def scene() -> None:
        for queue in ("mail", "served"):
            await enqueue(dsn, 1, queue)
        async with opened(dsn) as source:
            await source.tend(["mail", "served"])
            await execute(dsn, REGISTER)
            await source.read(["mail", "served"])
            await source.wait(5.0)  # the LISTEN itself wakes once
            await enqueue(dsn, 1, "served")
            routine = await source.wait(5.0)
            await enqueue(dsn, 1, "served")
            ignored = await source.wait(0.3, above=Wake.ROUTINE)
            await enqueue(dsn, 1, "mail")
            urgent = await source.wait(5.0, above=Wake.ROUTINE)

        assert (routine, ignored, urgent) == (Wake.ROUTINE, Wake.ROUTINE, Wake.URGENT)

    run(scene())


def test_wake_ups_come_back_after_their_connection_was_lost(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 1)
        async with opened(dsn) as source:
            await source.read(["mail"])
            await source.tend(["mail"])
            await source.wait(5.0)
            ended = await execute(
                dsn,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query ~* 'listen queueworker' "
                "AND pid <> pg_backend_pid()",
            )
            await source.wait(5.0)  # the new LISTEN wakes once
            await enqueue(dsn, 1)
            began_s = time.monotonic()
            await source.wait(5.0)

        assert ended == [(True,)]
        assert time.monotonic() - began_s < 1.0

    run(scene())


def test_state_and_decisions_come_back_as_they_were_stored(dsn: str) -> None:
    async def scene() -> None:
        async with opened(dsn) as source:
            missing = await source.load_state("default/mail")
            await source.save_states({"default/mail": {"rate": 0.1}})
            await source.save_states({"default/mail": {"rate": 1 / 3}, "default/other": {}})
            for number in range(3):
                await source.record_decision("default/mail", {"number": number})
            await source.record_decision("default/other", {"number": 9})
            stored = await source.load_state("default/mail")
            newest = await source.decisions("default/mail", 2)

        assert missing is None
        assert stored == {"rate": 1 / 3}
        assert [entry.record["number"] for entry in newest] == [2, 1]

    run(scene())


def test_a_record_with_a_number_that_json_lacks_is_refused(dsn: str) -> None:
    async def scene() -> None:
        async with opened(dsn) as source:
            with pytest.raises(LagUnavailable, match="cannot be stored"):
                await source.save_states({"default/mail": {"rate": float("nan")}})

    run(scene())


def test_a_database_without_the_schema_names_the_remedy(empty_dsn: str) -> None:
    async def scene() -> None:
        async with opened(empty_dsn) as source:
            with pytest.raises(GrantMissing, match="run queueworker migrate"):
                await source.read(["mail"])

    run(scene())


def test_a_role_without_the_grant_names_the_remedy_and_one_with_it_reads(dsn: str) -> None:
    async def scene() -> None:
        role = f"scaler_{uuid4().hex[:8]}"
        await execute(dsn, f"CREATE ROLE {role} LOGIN")
        try:
            await enqueue(dsn, 2)
            async with opened(dsn.replace("user=postgres", f"user={role}")) as source:
                with pytest.raises(GrantMissing, match="grant queueworker_operator"):
                    await source.read(["mail"])
                await execute(dsn, f"GRANT queueworker_operator TO {role}")
                lags = await source.read(["mail"])
                await source.tend(["mail"])
                await source.workers(["mail"])
                await source.set_drain([str(uuid4())], drain=True)
                await source.end_lease([pod_id("nobody")], shared=True)
                await source.record_decision("default/mail", {})
                await source.decisions("default/mail", 1)
                await source.save_states({"default/mail": {}})
                await source.load_state("default/mail")
        finally:
            await execute(dsn, f"DROP ROLE {role}")

        assert lags["mail"].ready == 2

    run(scene())


def test_an_unknown_user_is_refused_access_and_no_secret_is_told(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with opened(dsn.replace("user=postgres", "user=stranger")) as source:
            with pytest.raises(AccessRefused, match="check the Secret") as told:
                await source.read(["mail"])

        assert CANARY in dsn
        assert CANARY not in str(told.value)

    with caplog.at_level(logging.DEBUG, logger="queueworker_operator"):
        run(scene())
    assert "no connection" in caplog.text
    assert CANARY not in caplog.text


def test_a_statement_that_hangs_on_a_lock_ends_in_time(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 1)
        async with (
            opened(dsn) as source,
            await psycopg.AsyncConnection.connect(dsn) as blocker,
        ):
            await source.read(["mail"])
            await blocker.execute("LOCK TABLE queueworker.queue IN ACCESS EXCLUSIVE MODE")
            began_s = time.monotonic()
            with pytest.raises(LagUnavailable, match="tried again"):
                await source.read(["mail"])
            took_s = time.monotonic() - began_s
            await blocker.rollback()
            lags = await source.read(["mail"])

        assert took_s < 2.0
        assert lags["mail"].ready == 1

    run(scene())


def test_a_server_that_falls_silent_is_given_up_in_time(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 1)
        async with opened(dsn) as source:
            await source.read(["mail"])
            connection = source._database._connection
            assert connection is not None
            pid = connection.info.backend_pid
            stopped = await asyncio.create_subprocess_exec("kill", "-STOP", str(pid))
            await stopped.wait()
            try:
                began_s = time.monotonic()
                with pytest.raises(LagUnavailable, match="no connection"):
                    await source.read(["mail"])
                took_s = time.monotonic() - began_s
                resumed_s = await until_read(source, "mail")
            finally:
                await (await asyncio.create_subprocess_exec("kill", "-CONT", str(pid))).wait()

        assert took_s < 2.0
        assert resumed_s < 5.0

    run(scene())


def test_a_host_that_accepts_and_never_answers_is_given_up_in_time() -> None:
    async def scene(port: int) -> None:
        dsn = f"host=127.0.0.1 port={port} user=mail password={CANARY} dbname=mail"
        async with opened(dsn) as source:
            began_s = time.monotonic()
            with pytest.raises(LagUnavailable, match="no connection within 1 s") as told:
                await source.read(["mail"])

        assert time.monotonic() - began_s < 2.0
        assert CANARY not in str(told.value)

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        run(scene(silent.getsockname()[1]))


def test_a_database_that_is_away_is_asked_at_most_once_a_second() -> None:
    async def scene(port: int, accepted: list[float]) -> None:
        dsn = f"host=127.0.0.1 port={port} user=mail dbname=mail"
        async with opened(dsn) as source:
            until_s = time.monotonic() + 4.0
            while time.monotonic() < until_s:
                with pytest.raises(LagUnavailable):
                    await source.read(["mail"])
                await source.wait(0.05)
        accepted.sort()

    async def serve_and_count() -> list[float]:
        accepted: list[float] = []

        async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.append(time.monotonic())
            writer.close()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with server:
            await scene(server.sockets[0].getsockname()[1], accepted)
        return accepted

    accepted = asyncio.run(serve_and_count())

    assert 2 <= len(accepted) <= 5
    gaps = [later - earlier for earlier, later in pairwise(accepted)]
    assert min(gaps) > 0.9


def test_the_return_of_a_database_is_noticed_within_two_seconds_however_long_it_was_away(
    dsn: str,
) -> None:
    async def scene(proxy: FaultProxy) -> float:
        async with opened(through(dsn, proxy)) as source:
            proxy.plan = Plan(refuses=True)
            while proxy.accepted < 6:
                with pytest.raises(LagUnavailable):
                    await source.read(["mail"])
                await source.wait(0.05)
            proxy.plan = GOOD
            return await until_read(source, "mail")

    with FaultProxy(socket_of(dsn)) as proxy:
        assert asyncio.run(scene(proxy)) < 2.0


def test_reads_resume_within_five_seconds_of_a_restart_of_postgres(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "db"
    dsn = embedded.start(path, FAST)
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            migrate(connection, create_roles=True)
        run(through_a_restart(path, dsn))
    finally:
        embedded.remove(path)


async def through_a_restart(path: Path, dsn: str) -> None:
    await enqueue(dsn, 1)
    async with opened(dsn, DatabaseSettings()) as source:
        await source.read(["mail"])
        await source.wait(5.0)
        embedded.stop(path)
        with pytest.raises(LagUnavailable):
            await source.read(["mail"])
        embedded.start(path, FAST)
        resumed_s = await until_read(source, "mail")
        await source.wait(5.0)  # the new LISTEN wakes once
        await source.tend(["mail"])
        await enqueue(dsn, 1)
        began_s = time.monotonic()
        await source.wait(5.0)

    print(f"reads resumed {resumed_s:.2f} s after the restart")  # noqa: T201 -- the promise's figure
    assert resumed_s < 5.0
    assert time.monotonic() - began_s < 1.0
