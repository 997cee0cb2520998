"""A DryRun on a real Postgres: it keeps its minutes, touches nothing, and is compared."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.support.loops import KEY, enqueue, execute, looping
from tests.support.postgres import CANARY, Connection
from tests.support.targets import PodTarget

from queueworker.compat import override
from queueworker_operator.cli import main
from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import Mode, Policy
from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag import Lags
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.report import Fact
from queueworker_operator.settings import LoopSettings

pytestmark = pytest.mark.postgres

POLICY = Policy(max_replicas=50, slots_per_pod=4, mode=Mode.DRY_RUN)
OFTEN = LoopSettings(read_every_s=0.2)
TIMES = 60.0
ACTING = replace(POLICY, mode=Mode.AUTO, replicas=2)
DRAINED = "SELECT count(*)::int FROM queueworker.worker WHERE drain"
MINUTES = "SELECT count(*)::int FROM queueworker.dry_run_minute WHERE name = %s"


def run(scene: Coroutine[object, object, None]) -> None:
    asyncio.run(scene)


@asynccontextmanager
async def busy_pods(dsn: str) -> AsyncIterator[PodTarget]:
    """Give a target of three pods, each with two jobs."""
    target = PodTarget(dsn, ("mail",))
    async with target.running(3):
        for pod in target.pods_by_name.values():
            pod.busy = 2
        await target.until_renewed()
        yield target


def assigned(target: PodTarget, policy: Policy = POLICY, key: str = KEY) -> Assignment:
    return Assignment(key=key, queues=("mail",), policy=policy, target=target, generation=1)


class FastClock(PostgresLag):
    """The database's clock goes sixty times as fast: a minute is a second."""

    began_s: float | None = None

    @override
    async def look(self, queues: Sequence[str]) -> Lags:
        lags = await super().look(queues)
        self.began_s = lags.at_s if self.began_s is None else self.began_s
        # Without a revision no tick is left out for want of news.
        rows = {queue: replace(lag, revision=0) for queue, lag in lags.rows.items()}
        at_s = lags.at_s + (lags.at_s - self.began_s) * (TIMES - 1)
        return replace(lags, at_s=at_s, rows=rows)


async def dry_run(dsn: str, then: Mode | None = None) -> None:
    """Run beside two pods for four minutes, and go on in another mode."""
    await enqueue(dsn, 400)
    target = PodTarget(dsn, ("mail",))
    async with (
        target.running(2),
        looping(dsn, [assigned(target)], settings=OFTEN, source=FastClock(dsn)) as (loop, reports),
    ):
        while (await execute(dsn, MINUTES, KEY))[0][0] < 4:
            await reports.next(2)
        if then is not None:
            loop.assign(assigned(target, replace(POLICY, mode=then)))
            await reports.until(lambda report: report.policy.mode is then)
            await reports.next(2)
        assert len(target.pods()) == 2
    assert target.writes == []


def test_the_minutes_are_kept_and_compared_and_the_target_is_left_alone(
    dsn: str, conn: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    run(dry_run(dsn))
    assert main(["compare", KEY, "--dsn", dsn]) == 0
    text = capsys.readouterr().out
    assert main(["compare", KEY, "--dsn", dsn, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert conn.execute("SELECT record -> 'pod_s' FROM queueworker.dry_run_minute").fetchall()
    assert max(map(len, text.splitlines())) <= 80
    for part in ("as it happened, measured", "as it happened, in the model", "with our decisions"):
        assert part in text
    assert CANARY not in text
    assert found["jobs"] == 400
    assert found["measured"]["pod_hours"] == pytest.approx(
        2 * (found["until_s"] - found["since_s"]) / 3600, rel=0.1
    )
    assert found["ours"]["max_replicas"] > 2


def test_a_pause_after_the_dry_run_changes_nothing_in_what_it_would_have_done(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(dry_run(dsn, then=Mode.PAUSED))
    assert main(["compare", KEY, "--dsn", dsn, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert found["slots"] == POLICY.slots_per_pod
    assert found["ours"]["max_replicas"] > 2


def test_a_dry_run_beside_the_one_that_acts_undoes_none_of_its_drains(dsn: str) -> None:
    async def scene() -> None:
        async with busy_pods(dsn) as target:
            pair = [assigned(target, ACTING), assigned(target, key="default/trial")]
            async with looping(dsn, pair, settings=OFTEN) as (_, reports):
                await reports.until(lambda report: report.victims == 1)
                await reports.next(5, key="default/trial")
                drained = await execute(dsn, DRAINED)

        assert drained == [(1,)]

    run(scene())


def test_a_change_to_dry_run_undoes_the_drains_that_were_ones_own(dsn: str) -> None:
    async def scene() -> None:
        async with (
            busy_pods(dsn) as target,
            looping(dsn, [assigned(target, ACTING)], settings=OFTEN) as (loop, reports),
        ):
            await reports.until(lambda report: report.victims == 1)
            loop.assign(assigned(target))
            await reports.until(lambda report: report.victims == 0)
            drained = await execute(dsn, DRAINED)

        assert drained == [(0,)]
        assert target.writes == []

    run(scene())


def test_a_minute_that_cannot_be_written_stops_nothing(
    dsn: str, conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    conn.execute("DROP FUNCTION queueworker.record_minute")  # as before the migration

    async def scene() -> None:
        await enqueue(dsn, 1)
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(1),
            looping(dsn, [assigned(target)], settings=OFTEN, source=FastClock(dsn)) as (_, reports),
        ):
            report = await reports.until(lambda _: caplog.text.count("dry run is lost") > 1)

        assert report.decision is not None
        assert Fact.STEP_FAILED not in report.facts

    run(scene())
    assert "run queueworker migrate" in caplog.text


def test_minutes_are_kept_for_seven_days_and_whoever_writes_trims(conn: Connection) -> None:
    write = "SELECT queueworker.record_minute(%s, extract(epoch FROM now() - %s::interval), '{}')"
    for name, age in (("a/gone", "8 days"), ("a/here", "169 hours"), ("a/here", "6 days")):
        conn.execute(write, (name, age))
    conn.execute(write, ("a/here", "0 s"))
    conn.execute(write, ("a/here", "0 s"))

    kept = conn.execute("SELECT name, count(*) FROM queueworker.dry_run_minute GROUP BY 1")
    assert kept.fetchall() == [("a/here", 3)]


def test_without_a_dry_run_the_remedy_is_told(dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", KEY, "--dsn", dsn]) == 2
    told = capsys.readouterr().err
    assert "set spec.mode to DryRun and come back in three minutes" in told
    assert told.count("\n") == 1
    assert main(["compare", "mail", "--dsn", dsn]) == 2
    assert "is no NAMESPACE/NAME" in capsys.readouterr().err


def test_an_unreachable_database_is_an_error_not_an_empty_comparison() -> None:
    async def scene() -> None:
        source = PostgresLag(f"host=/nonexistent password={CANARY} dbname=x")
        with pytest.raises(LagUnavailable):
            await source.dry_run_minutes(KEY, 0.0)
        await source.close()

    run(scene())
