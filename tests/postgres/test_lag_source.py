"""What a source of lag reads, stores, and is woken by."""

import time

import pytest
from tests.support.lags import opened
from tests.support.loops import enqueue, execute, run

from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag import Wake

pytestmark = pytest.mark.postgres


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
