"""Every decision that changes something leaves its trace: log line, metric, record; outages only delay it."""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.support.loops import KEY, Reports, database_away, enqueue, looping
from tests.support.postgres import Connection
from tests.support.targets import PodTarget

from queueworker_operator.cli import main
from queueworker_operator.cli.log import JsonLines
from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.controller.history import MOST_UNWRITTEN
from queueworker_operator.controller.record import difference
from queueworker_operator.decision.model import Fallback, Mode, Policy, Reason
from queueworker_operator.lag.postgres import PostgresLag, RecordedDecision
from queueworker_operator.report import Report
from queueworker_operator.settings import LoopSettings

pytestmark = pytest.mark.postgres

POLICY = Policy(max_replicas=50, slots_per_pod=4)
OFTEN = LoopSettings(read_every_s=0.2)
BY_TURNS = ((Mode.PAUSED, Reason.PAUSED), (Mode.AUTO, Reason.IDLE))


def run(scene: Coroutine[object, object, None]) -> None:
    asyncio.run(scene)


def assigned(target: PodTarget, policy: Policy = POLICY) -> Assignment:
    return Assignment(key=KEY, queues=("mail",), policy=policy, target=target, generation=1)


async def written(loop: DatabaseLoop, reports: Reports, key: str) -> None:
    """Wait until each record that was noted is in the database; each report of `key` is a tick."""
    while loop._ports.history.noted():
        await reports.next(1, key)


async def history(dsn: str) -> list[RecordedDecision]:
    source = PostgresLag(dsn)
    try:
        return (await source.decisions(KEY, 300))[::-1]
    finally:
        await source.close()


def test_a_decision_is_one_structured_log_line_with_its_inputs(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with target.running(), looping(dsn, [assigned(target)]) as (_, reports):
            await enqueue(dsn, 200)
            await reports.until(lambda report: report.written is not None)
            await reports.next()
        asked = [desired for _, desired in target.writes]
        lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
        [told] = [line for line in lines if line.get("written") == asked[0]]

        assert told["queueworker"] == KEY
        assert (told["current"], told["desired"]) == (0, asked[0])
        assert told["reason"] in {Reason.FIRST_JOB.value, Reason.BACKLOG.value}
        assert (told["waiting"], told["slots"], told["promise_s"]) == (200, 4, 30.0)
        assert told["message"].startswith(f"{KEY}: {told['reason']}: 0->{asked[0]}: 200 waiting")
        assert told["level"] == "info"

    run(scene())


def test_a_decision_is_a_span_from_the_reading_to_the_answer(
    dsn: str, exporter: InMemorySpanExporter
) -> None:
    exporter.clear()

    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with target.running(), looping(dsn, [assigned(target)]) as (_, reports):
            await enqueue(dsn, 200)
            await reports.until(lambda report: report.written is not None)
            await reports.next()
        asked = [desired for _, desired in target.writes]
        spans = [span for span in exporter.get_finished_spans() if span.name == "decide"]
        [span] = [one for one in spans if (one.attributes or {}).get("queueworker.written")]
        told = span.attributes or {}

        assert told["queueworker.queueworker"] == KEY
        assert (told["queueworker.current"], told["queueworker.desired"]) == (0, asked[0])
        assert told["queueworker.waiting"] == 200
        assert span.start_time is not None
        assert span.end_time is not None
        assert 0 < span.end_time - span.start_time < 5e9

    run(scene())


def test_the_history_survives_a_restart_and_every_change_of_replicas_is_in_it(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with target.running():
            for least in (2, 5, 9):
                policy = replace(POLICY, min_replicas=least)
                async with looping(dsn, [assigned(target, policy)], settings=OFTEN):
                    await target.until(lambda least=least: target.ready() == least)  # type: ignore[misc]
        asked = [e.record["asked"] for e in await history(dsn) if e.record["asked"] is not None]

        assert asked == [desired for _, desired in target.writes] == [2, 5, 9]

    run(scene())
    assert main(["explain", KEY, "--dsn", dsn, "--all", "--replay"]) == 0
    assert "replay to the same, bit for bit" in capsys.readouterr().out


async def told_by_turns(dsn: str, turns: int) -> list[str]:
    """Pause a QueueWorker and let it go on, as fast as it follows; give the recorded reasons."""
    target = PodTarget(dsn, ("mail",))
    async with looping(dsn, [assigned(target)], settings=OFTEN) as (loop, reports):
        await reports.until(of(Reason.IDLE))
        for turn in range(turns):
            mode, reason = BY_TURNS[turn % 2]
            loop.assign(assigned(target, replace(POLICY, mode=mode)))
            await reports.until(of(reason))
    return [entry.record["decision"]["reason"] for entry in await history(dsn)]


def of(reason: Reason) -> Callable[[Report], bool]:
    return lambda report: report.decision is not None and report.decision.reason is reason


def test_reasons_that_follow_each_other_within_seconds_are_all_recorded(dsn: str) -> None:
    told = asyncio.run(told_by_turns(dsn, 3))

    assert told == ["Idle", "Paused", "Idle", "Paused"]


def test_a_reason_that_changes_back_and_forth_does_not_push_the_history_out(dsn: str) -> None:
    assert len(asyncio.run(told_by_turns(dsn, 16))) < 12


def test_what_is_decided_without_the_database_is_recorded_when_it_is_back(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        policy = replace(POLICY, fallback=Fallback(replicas=6, after_s=1.0))
        # The pods of this target would need the database: none is created.
        target.quota = 0
        await enqueue(dsn, 1)
        async with looping(dsn, [assigned(target, policy)], settings=OFTEN) as (_, reports):
            await reports.next(2)
            async with database_away(dsn):
                await reports.until(lambda report: report.written == 6)
                await reports.next(5)
            while not [e for e in await history(dsn) if e.record["asked"] == 6]:
                await reports.next()
        entries = await history(dsn)
        [fallback] = [entry for entry in entries if entry.record["asked"] == 6]

        assert fallback.record["sample"] is None
        assert fallback.record["decision"]["reason"] == Reason.FALLBACK.value
        assert fallback.record["decided_ago_s"] > 0.5
        assert [difference(entry.record) for entry in entries] == [None] * len(entries)

    run(scene())


def sizes(entries: list[RecordedDecision]) -> list[int]:
    return [entry.record["asked"] for entry in entries if entry.record["asked"] is not None]


def test_reasons_told_in_an_outage_push_no_record_of_a_write_out(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        target.quota = 0
        await enqueue(dsn, 1)
        async with looping(dsn, [assigned(target)], settings=OFTEN) as (loop, reports):
            await reports.next(2)
            async with database_away(dsn):
                loop.assign(assigned(target, replace(POLICY, replicas=6)))
                await reports.until(lambda report: report.written == 6)
                verdict = loop._ports.history.noted()[-1].verdict
                for _ in range(3 * MOST_UNWRITTEN):
                    loop._ports.history.note(KEY, verdict)
            await reports.until(lambda report: report.sample is not None)
            await reports.next(3)
            assert 6 in sizes(await history(dsn))

    run(scene())


def test_of_a_queueworker_deleted_in_an_outage_the_records_of_its_writes_stay(dsn: str) -> None:
    async def scene() -> None:
        target, stays = PodTarget(dsn, ("mail",)), PodTarget(dsn, ("mail",))
        target.quota = stays.quota = 0
        other = replace(assigned(stays), key="default/stays", queues=("stays",))
        for queue in ("mail", "stays"):
            await enqueue(dsn, 1, queue)
        assignments = [assigned(target), other]
        async with looping(dsn, assignments, settings=OFTEN) as (loop, reports):
            await reports.next(2)
            await written(loop, reports, other.key)
            before = len(await history(dsn))
            async with database_away(dsn):
                await reports.until(of(Reason.NO_METRICS))
                loop.assign(assigned(target, replace(POLICY, replicas=6)))
                await reports.until(lambda report: report.written == 6)
                loop.forget(KEY)
                noted = [entry for entry in loop._ports.history.noted() if entry.key == KEY]
            await reports.until(lambda report: report.sample is not None, other.key)
            await written(loop, reports, other.key)
            entries = await history(dsn)

        assert [entry.asked for entry in noted] == [6]
        assert sizes(entries)[-1] == 6
        assert len(entries) == before + 1

    run(scene())


def test_the_last_200_changes_and_100_other_decisions_of_a_name_are_kept(conn: Connection) -> None:
    for number in range(205):
        for asked in (str(number), "null"):
            record = f'{{"n": {number}, "asked": {asked}}}'
            conn.execute("SELECT queueworker.record_decision('a', %s)", (record,))
    conn.execute("SELECT queueworker.record_decision('b', '{}')")
    conn.execute("SELECT queueworker.save_state('a', '{\"x\": 1}')")
    conn.execute("SELECT queueworker.save_state('a', '{\"x\": 2}')")
    records = [r for (r,) in conn.execute("SELECT record FROM queueworker.decisions('a', 500)")]

    assert [r["n"] for r in records if r["asked"] is not None] == list(range(204, 4, -1))
    assert [r["n"] for r in records if r["asked"] is None] == list(range(204, 104, -1))
    assert conn.execute("SELECT queueworker.load_state('a')").fetchone() == ({"x": 2},)
    assert conn.execute("SELECT queueworker.load_state('none')").fetchone() == (None,)
