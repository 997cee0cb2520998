"""One loop per database: what it does to a target, and what it never does."""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import replace

import psycopg
import pytest
from tests.support.loops import KEY, arriving, database_away, enqueue, execute, looping
from tests.support.targets import Pod, PodTarget

from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.controller.record import replay
from queueworker_operator.decision.model import Fallback, Mode, Policy, Reason, Window
from queueworker_operator.errors import LagUnavailable
from queueworker_operator.lag import Lags
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.report import Fact, Report
from queueworker_operator.settings import LoopSettings

pytestmark = pytest.mark.postgres

POLICY = Policy(max_replicas=50, slots_per_pod=4)
SECONDS_TO_SCALE_OUT = 1.0
# Short times so that a test sees several rounds; the proportions are the product's.
HASTY = LoopSettings(read_every_s=0.2, patience_min_s=0.5, patience_max_s=1.0, spare_s=30.0)


def run(scene: Coroutine[object, object, None]) -> None:
    asyncio.run(scene)


def assigned(target: PodTarget, policy: Policy = POLICY, key: str = KEY) -> Assignment:
    return Assignment(key=key, queues=("mail",), policy=policy, target=target, generation=1)


def fixed(replicas: int) -> Policy:
    return replace(POLICY, replicas=replicas)


def test_a_burst_is_answered_in_one_step_within_a_second_of_its_commit(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",), start_up_s=2.0)
        async with target.running(), looping(dsn, [assigned(target)]) as (_, reports):
            await reports.next(2)
            await enqueue(dsn, 2000)
            committed_s = time.monotonic()
            report = await reports.until(lambda report: report.written is not None)
            took_s = target.writes[0][0] - committed_s
            print(f"commit to scale: {took_s:.3f} s, 0 -> {report.written}")  # noqa: T201 -- the promise's figure
            await reports.next(3)

        assert took_s <= SECONDS_TO_SCALE_OUT
        assert [desired for _, desired in target.writes] == [report.written]
        assert report.decision is not None
        assert report.decision.desired == report.written > 10

    run(scene())


def test_the_first_job_of_a_queue_that_did_not_exist_starts_a_pod(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with target.running(), looping(dsn, [assigned(target)]) as (_, reports):
            first = await reports.next()
            await enqueue(dsn, 1)
            await reports.until(lambda report: report.written is not None)

        assert Fact.QUEUE_MISSING in first.facts
        assert target.writes[0][1] >= 1

    run(scene())


def test_the_least_replicas_are_there_before_the_first_job(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        policy = replace(POLICY, min_replicas=2)
        async with target.running(), looping(dsn, [assigned(target, policy)]) as (_, reports):
            report = await reports.until(
                lambda report: bool(report.sample and report.sample.workers == 2)
            )

        assert [desired for _, desired in target.writes] == [2]
        assert Fact.QUEUE_MISSING not in report.facts

    run(scene())


def test_a_window_of_the_schedule_starts_its_pods_and_its_decision_can_be_replayed(
    dsn: str,
) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        always = Window(cron="* * * * *", timezone="UTC", min_replicas=2, duration_s=120.0)
        policy = replace(POLICY, schedule=(always,))
        async with target.running(), looping(dsn, [assigned(target, policy)]) as (_, reports):
            report = await reports.until(lambda report: report.written is not None)
        [(record,)] = await execute(
            dsn, "SELECT record FROM queueworker.decision ORDER BY id DESC LIMIT 1"
        )

        assert report.decision is not None
        assert report.decision.reason is Reason.SCHEDULE
        assert [desired for _, desired in target.writes] == [2]
        assert replay(record).message == report.decision.message

    run(scene())


def test_without_metrics_nothing_is_scaled_and_work_resumes_within_five_seconds(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with looping(dsn, [assigned(target)]) as (_, reports):
            await reports.next(2)
            async with database_away(dsn):
                blind = await reports.until(lambda report: Fact.METRICS_UNAVAILABLE in report.facts)
                held = await reports.next(3)
            back_s = time.monotonic()
            await reports.until(lambda report: report.sample is not None)
            resumed_s = time.monotonic() - back_s

        assert target.writes == []
        assert blind.sample is None
        assert held.decision is not None
        assert held.decision.reason is Reason.NO_METRICS
        assert held.sample_age_s is not None
        assert held.sample_age_s > 0
        assert resumed_s < 5.0

    run(scene())


class Wishes(PodTarget):
    """A target that takes what is asked for and starts nothing."""

    async def scale(self, desired: int) -> None:
        self.writes.append((time.monotonic(), desired))
        self._desired = desired


def test_with_a_fallback_an_outage_adds_pods_after_its_time_and_takes_none(dsn: str) -> None:
    async def scene() -> None:
        target = Wishes(dsn, ("mail",))
        policy = replace(POLICY, fallback=Fallback(replicas=6, after_s=1.5))
        async with looping(dsn, [assigned(target, policy)]) as (_, reports):
            await reports.next(2)
            async with database_away(dsn):
                out_s = time.monotonic()
                held = await reports.until(lambda report: Fact.METRICS_UNAVAILABLE in report.facts)
                report = await reports.until(lambda report: report.written is not None)

        assert held.decision is not None
        assert held.decision.reason is Reason.NO_METRICS
        assert [desired for _, desired in target.writes] == [6]
        assert 0.5 <= target.writes[0][0] - out_s <= 5.0
        assert report.decision is not None
        assert report.decision.reason is Reason.FALLBACK

    run(scene())


def test_pods_without_any_row_in_the_database_are_held_not_removed(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("elsewhere",))
        async with target.running(3), looping(dsn, [assigned(target)]) as (_, reports):
            report = await reports.next(3)

        assert target.writes == []
        assert "the 3 replicas are held" in report.facts[Fact.WAITING]

    run(scene())


class Slow(PostgresLag):
    """Lets something happen after the database has answered the first read."""

    answered: Callable[[], None] | None = None

    async def look(self, queues: Sequence[str]) -> Lags:
        lags = await super().look(queues)
        if self.answered is not None:
            self.answered()
            self.answered = None
        return lags


def test_who_comes_during_a_read_is_not_told_that_its_queue_is_missing(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 1)
        await enqueue(dsn, 1, "late")
        first, second = PodTarget(dsn, ("mail",)), PodTarget(dsn, ("late",))
        late = Assignment(key="default/late", queues=("late",), policy=fixed(0), target=second)
        source = Slow(dsn)
        async with looping(dsn, [assigned(first, fixed(0))], source=source) as (loop, reports):
            source.answered = lambda: loop.assign(late)
            report = await reports.next(1, late.key)

        assert report.sample is not None
        assert report.sample.ready == 1
        assert not report.facts

    run(scene())


def test_a_restart_changes_no_replica_and_keeps_what_was_learned(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 100)
        target = PodTarget(dsn, ("mail",))
        async with target.running(1):
            async with looping(dsn, [assigned(target)]) as (_, reports):
                before = await reports.until(lambda _: target.ready() > 1)
            writes = list(target.writes)
            await execute(
                dsn,
                "UPDATE queueworker.operator_state "
                "SET state = jsonb_set(state, '{state,observations}', '41')",
            )
            async with looping(dsn, [assigned(target)]) as (loop, reports):
                after = await reports.next(3)
                learned = loop._watches[KEY].state

        assert target.writes == writes
        assert before.decision is not None
        assert after.decision is not None
        assert after.decision.desired == before.decision.desired
        assert learned.observations >= 41
        assert learned.slots == 4

    run(scene())


@pytest.mark.parametrize(
    "stored", ['{"format": 99}', '{"format": 1, "state": {"version": 0}}', '{"format": 1}', "[]"]
)
def test_a_stored_state_of_another_version_is_dropped_and_work_goes_on(
    dsn: str, stored: str
) -> None:
    async def scene() -> None:
        await execute(dsn, "SELECT queueworker.save_state(%s, %s)", KEY, stored)
        await enqueue(dsn, 10)
        target = PodTarget(dsn, ("mail",))
        async with target.running(), looping(dsn, [assigned(target)]) as (_, reports):
            await reports.until(lambda report: report.written is not None)

        assert target.writes[0][1] > 0

    run(scene())


def test_twenty_queues_cost_two_connections_and_about_one_query_a_second(dsn: str) -> None:
    async def scene() -> None:
        name = (await execute(dsn, "SELECT current_database()"))[0][0]
        await execute(dsn, f"ALTER DATABASE \"{name}\" SET track_functions = 'all'")
        assignments = []
        for number in range(20):
            queue = f"queue-{number}"
            await enqueue(dsn, 1, queue)
            target = PodTarget(dsn, (queue,))
            policy = replace(POLICY, mode=Mode.DRY_RUN)
            assignments.append(
                Assignment(key=f"default/{queue}", queues=(queue,), policy=policy, target=target)
            )
        began_s = time.monotonic()
        async with looping(dsn, assignments) as (_, reports):
            await reports.next(8, key="default/queue-19")
            connections = await execute(
                dsn,
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = %s",
                name,
                "queueworker-operator",
            )
        seconds = time.monotonic() - began_s
        [[reads]] = await execute(
            dsn, "SELECT calls FROM pg_stat_user_functions WHERE funcname = 'queue_lag'"
        )
        print(f"{reads} reads in {seconds:.1f} s")  # noqa: T201 -- the promise's figure

        assert connections == [(2,)]
        assert 8 <= reads <= seconds * 1.2 + 2

    run(scene())


def test_idle_pods_go_first_and_a_busy_one_is_never_ended(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(4),
            looping(dsn, [assigned(target, fixed(4))], settings=HASTY) as (loop, reports),
        ):
            await reports.next(2)
            busy = [target.pods_by_name[name] for name in ("worker-1", "worker-3")]
            for pod in busy:
                pod.busy = 2
            await target.until_renewed()
            loop.assign(assigned(target, fixed(1)))
            await target.until(lambda: len(target.pods()) == 2)
            idle_went_first = set(target.ended) == {"worker-0", "worker-2"}
            blocked = await reports.until(lambda report: Fact.SCALE_IN_BLOCKED in report.facts)
            busy[0].busy = 0
            loop.assign(assigned(target, fixed(2)))
            still = sorted(pod.name for pod in target.pods())

        assert idle_went_first
        assert target.ended_busy == []
        assert still == ["worker-1", "worker-3"]
        assert "still ran jobs" in blocked.facts[Fact.SCALE_IN_BLOCKED]

    run(scene())


def test_demand_back_undoes_drains_instead_of_starting_pods(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        settings = replace(HASTY, patience_min_s=60.0, patience_max_s=60.0)
        async with (
            target.running(3),
            looping(dsn, [assigned(target, fixed(3))], settings=settings) as (loop, reports),
        ):
            await reports.next(2)
            for pod in target.pods_by_name.values():
                pod.busy = 1
            await target.until_renewed()
            loop.assign(assigned(target, fixed(1)))
            await target.until(
                lambda: sum(pod.draining for pod in target.pods_by_name.values()) == 2
            )
            loop.assign(assigned(target, fixed(3)))
            await target.until(
                lambda: not any(pod.draining for pod in target.pods_by_name.values())
            )

        assert target.writes == []
        assert target.ended == []

    run(scene())


def test_drains_are_undone_when_the_operator_stops_or_forgets_the_queueworker(dsn: str) -> None:
    async def scene(*, forget: bool) -> None:
        target = PodTarget(dsn, ("mail",))
        settings = replace(HASTY, patience_min_s=60.0, patience_max_s=60.0)
        async with target.running(2):
            for pod in target.pods_by_name.values():
                pod.busy = 1
            await target.until_renewed()
            async with looping(dsn, [assigned(target, fixed(1))], settings=settings) as (loop, _):
                await target.until(
                    lambda: any(pod.draining for pod in target.pods_by_name.values())
                )
                if forget:
                    loop.forget(KEY)
                    await target.until(
                        lambda: not any(pod.draining for pod in target.pods_by_name.values())
                    )
            await target.until(
                lambda: not any(pod.draining for pod in target.pods_by_name.values())
            )

    run(scene(forget=False))
    run(scene(forget=True))


def test_drains_left_by_a_controller_that_died_are_taken_over(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with target.running(2):
            pod = target.pods_by_name["worker-0"]
            await execute(
                dsn, "SELECT queueworker.set_drain(ARRAY[%s]::uuid[], true)", pod.worker_id
            )
            await target.until(lambda: pod.draining)
            async with looping(dsn, [assigned(target, fixed(2))], settings=HASTY):
                await target.until(lambda: not pod.draining)

        assert target.writes == []

    run(scene())


def test_pods_that_a_quota_refused_go_first_and_no_living_pod_drains_for_them(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(3),
            looping(dsn, [assigned(target, fixed(3))], settings=HASTY) as (loop, reports),
        ):
            target.quota = 3
            await reports.next(2)
            loop.assign(assigned(target, fixed(10)))
            await reports.until(lambda report: report.written == 10)
            loop.assign(assigned(target, fixed(2)))
            first = await reports.until(lambda report: report.written is not None)
            living = len(target.pods())
            await target.until(lambda: len(target.pods()) == 2)

        assert first.written == 3
        assert living == 3
        assert [size for _, size in target.writes] == [10, 3, 2]

    run(scene())


def test_a_write_that_fails_again_and_again_is_recorded_once(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        target.conflicts = 5
        async with (
            target.running(0),
            looping(dsn, [assigned(target, fixed(3))], settings=HASTY) as (_, reports),
        ):
            await reports.until(lambda report: report.written == 3)
            rows = await execute(dsn, "SELECT record -> 'asked' FROM queueworker.decision")

        assert target.conflicts == 0
        assert [asked for (asked,) in rows].count(3) == 1

    run(scene())


def test_a_write_that_failed_long_ago_is_recorded_anew_when_it_is_wanted_again(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        target.conflicts = 1000
        async with (
            target.running(0),
            looping(dsn, [assigned(target, fixed(3))], settings=HASTY) as (loop, reports),
        ):
            await reports.until(lambda report: Fact.TARGET_CONFLICT in report.facts)
            loop.assign(assigned(target, fixed(0)))
            await reports.until(lambda report: Fact.TARGET_CONFLICT not in report.facts)
            target.conflicts = 0
            loop.assign(assigned(target, fixed(3)))
            await reports.until(lambda report: report.written == 3)
            rows = await execute(dsn, "SELECT record -> 'asked' FROM queueworker.decision")

        assert [asked for (asked,) in rows].count(3) == 2

    run(scene())


def test_a_write_that_fails_for_long_is_recorded_anew_with_what_it_is_decided_from_by_then(
    dsn: str,
) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        target.conflicts = 1000
        settings = replace(HASTY, record_again_s=1.0)
        async with (
            target.running(0),
            looping(dsn, [assigned(target, fixed(3))], settings=settings) as (_, reports),
        ):
            await reports.until(lambda report: Fact.TARGET_CONFLICT in report.facts)
            failing_since_s = time.monotonic()
            await reports.until(lambda _: time.monotonic() - failing_since_s > 2.5)
            target.conflicts = 0
            await reports.until(lambda report: report.written == 3)
            rows = await execute(
                dsn, "SELECT clock_timestamp() - decided_at < '2 s' FROM queueworker.decision"
            )

        assert 3 <= len(rows) <= 4
        assert (True,) in rows

    run(scene())


REFUSE_RECORDS = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END$$;
    CREATE TRIGGER refuse BEFORE INSERT ON queueworker.decision
      FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def test_nothing_is_scaled_before_its_decision_is_recorded(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(2),
            looping(dsn, [assigned(target, fixed(2))], settings=HASTY) as (loop, reports),
        ):
            await reports.next(2)
            async with await psycopg.AsyncConnection.connect(dsn) as conn:
                await conn.execute(REFUSE_RECORDS)
            loop.assign(assigned(target, fixed(5)))
            held = await reports.until(lambda report: Fact.METRICS_UNAVAILABLE in report.facts)
            loop.assign(assigned(target, fixed(1)))
            await reports.until(lambda report: Fact.METRICS_UNAVAILABLE not in report.facts)
            await reports.until(lambda report: Fact.METRICS_UNAVAILABLE in report.facts)
            assert target.writes == []
            await execute(dsn, "DROP TRIGGER refuse ON queueworker.decision")
            loop.assign(assigned(target, fixed(5)))
            await reports.until(lambda report: report.written == 5)
            rows = await execute(dsn, "SELECT record -> 'asked' FROM queueworker.decision")

        assert "not scaled to 5" in held.facts[Fact.METRICS_UNAVAILABLE]
        assert [asked for (asked,) in rows].count(5) == 1

    run(scene())


class Forgetful(PostgresLag):
    """Drains, and then loses the answer: the caller does not know that it happened."""

    lost = False

    async def set_drain(
        self, worker_ids: Collection[str], *, drain: bool, for_s: float | None = None
    ) -> None:
        await super().set_drain(worker_ids, drain=drain, for_s=for_s)
        if drain:
            self.lost = True
            raise LagUnavailable("the answer was lost")


def test_a_drain_whose_answer_was_lost_is_undone_when_demand_is_back(dsn: str) -> None:
    async def scene() -> None:
        target, source = PodTarget(dsn, ("mail",)), Forgetful(dsn)
        async with (
            target.running(3),
            looping(dsn, [assigned(target, fixed(3))], settings=HASTY, source=source) as (
                loop,
                reports,
            ),
        ):
            await reports.next(2)
            for pod in target.pods_by_name.values():
                pod.busy = 1
            await target.until_renewed()
            loop.assign(assigned(target, fixed(1)))
            await target.until(
                lambda: any(pod.draining for pod in target.pods_by_name.values()) and source.lost
            )
            loop.assign(assigned(target, fixed(3)))
            await target.until(
                lambda: not any(pod.draining for pod in target.pods_by_name.values())
            )

        assert target.writes == []

    run(scene())


class Interrupted(PostgresLag):
    """Its QueueWorker is deleted while a drain is on its way."""

    loop: DatabaseLoop | None = None

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.asked: list[bool] = []

    async def set_drain(
        self, worker_ids: Collection[str], *, drain: bool, for_s: float | None = None
    ) -> None:
        if drain and self.loop is not None:
            self.loop.forget(KEY)
        await super().set_drain(worker_ids, drain=drain, for_s=for_s)
        self.asked.append(drain)


def test_a_drain_that_crosses_a_deletion_is_undone(dsn: str) -> None:
    async def scene() -> None:
        target, source = PodTarget(dsn, ("mail",)), Interrupted(dsn)
        async with (
            target.running(2),
            looping(dsn, [assigned(target, fixed(2))], settings=HASTY, source=source) as (
                loop,
                reports,
            ),
        ):
            await reports.next(2)
            for pod in target.pods_by_name.values():
                pod.busy = 1
            await target.until_renewed()
            source.loop = loop
            loop.assign(assigned(target, fixed(1)))
            await target.until(lambda: source.asked == [True, False])

    run(scene())


class Interrupting(PostgresLag):
    """Loses its connection when drains are undone for the first time."""

    lost = False

    async def set_drain(
        self, worker_ids: Collection[str], *, drain: bool, for_s: float | None = None
    ) -> None:
        if not drain and not self.lost:
            self.lost = True
            raise LagUnavailable("the connection was lost")
        await super().set_drain(worker_ids, drain=drain, for_s=for_s)


@pytest.mark.parametrize("forget", [True, False])
def test_drains_whose_undoing_failed_are_undone_at_the_next_try(dsn: str, forget: bool) -> None:
    async def scene() -> None:
        one, two = (PodTarget(dsn, (queue,)) for queue in ("mail", "bulk"))
        assignments = [
            Assignment(key=f"default/{queue}", queues=(queue,), policy=fixed(1), target=target)
            for queue, target in (("mail", one), ("bulk", two))
        ]
        settings = replace(HASTY, patience_min_s=60.0, patience_max_s=60.0)
        source = Interrupting(dsn)

        def draining() -> list[Pod]:
            pods = (*one.pods_by_name.values(), *two.pods_by_name.values())
            return [pod for pod in pods if pod.draining]

        async with one.running(2), two.running(2):
            for pod in (*one.pods_by_name.values(), *two.pods_by_name.values()):
                pod.busy = 1
            await one.until_renewed()
            await two.until_renewed()
            async with looping(dsn, assignments, settings=settings, source=source) as (loop, _):
                await one.until(lambda: len(draining()) == 2)
                if forget:
                    for assignment in assignments:
                        loop.forget(assignment.key)
                    await one.until(lambda: not draining())
            await one.until(lambda: not draining())

        assert source.lost

    run(scene())


def test_every_write_has_a_record_that_replays_to_the_same_number(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(),
            looping(dsn, [assigned(target)], settings=HASTY) as (loop, reports),
        ):
            await reports.next()
            await enqueue(dsn, 200)
            await reports.until(lambda report: report.written is not None)
            await target.until(lambda: target.ready() == len(target.pods()))
            loop.assign(assigned(target, fixed(2)))
            await target.until(lambda: len(target.pods()) == 2)
        source = PostgresLag(dsn)
        records = [entry.record for entry in await source.decisions(KEY, 200)]
        await source.close()
        asked = [record["asked"] for record in reversed(records) if record["asked"] is not None]

        assert asked == [desired for _, desired in target.writes]
        assert len(asked) >= 2
        for record in records:
            decision = replay(record)
            assert decision.desired == record["decision"]["desired"]
            assert decision.message == record["decision"]["message"]
            if record["asked"] is not None:
                low, high = sorted((decision.current, decision.desired))
                assert low <= record["asked"] <= high

    run(scene())


def test_who_may_not_write_reads_and_learns_but_changes_nothing(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 100)
        target = PodTarget(dsn, ("mail",))
        leading = False
        async with (
            target.running(),
            looping(dsn, [assigned(target)], may_write=lambda: leading) as (loop, reports),
        ):
            ticked_at = loop.last_tick_at
            while loop.last_tick_at < ticked_at + 2.5:  # noqa: ASYNC110 -- a standby tells nothing
                await asyncio.sleep(0.1)
            stood_by = list(target.writes)
            told = dict(reports.by_key)
            rows = await execute(dsn, "SELECT count(*) FROM queueworker.decision")
            leading = True
            await reports.until(lambda report: report.written is not None)

        assert (stood_by, told, rows) == ([], {}, [(0,)])

    run(scene())


def test_a_dry_run_records_and_reports_and_leaves_the_target_alone(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 100)
        target = PodTarget(dsn, ("mail",))
        policy = replace(POLICY, mode=Mode.DRY_RUN)
        async with target.running(), looping(dsn, [assigned(target, policy)]) as (_, reports):
            report = await reports.next(3)
        rows = await execute(dsn, "SELECT record->'decision'->>'desired' FROM queueworker.decision")

        assert report.decision is not None
        assert report.decision.desired > 0
        assert str(report.decision.desired) in {desired for (desired,) in rows}
        assert target.writes == []

    run(scene())


def test_a_conflict_is_read_again_and_decided_again(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        target.conflicts = 1
        await enqueue(dsn, 50)
        async with target.running(), looping(dsn, [assigned(target)]) as (_, reports):
            await reports.until(lambda report: Fact.TARGET_CONFLICT in report.facts)
            await reports.until(lambda report: report.written is not None)

        assert len(target.writes) == 1

    run(scene())


def test_a_missing_target_is_told_and_the_others_go_on(dsn: str) -> None:
    class Broken(PodTarget):
        def pods(self) -> list[str]:
            raise RuntimeError("broken")

        def read(self) -> None:
            raise RuntimeError("broken")

    async def scene() -> None:
        await enqueue(dsn, 10)
        missing, broken, sound = (PodTarget(dsn, ("mail",)) for _ in range(3))
        missing.exists = False
        broken = Broken(dsn, ("mail",))
        assignments = [
            assigned(missing, key="default/missing"),
            assigned(broken, key="default/broken"),
            assigned(sound),
        ]
        async with sound.running(), looping(dsn, assignments) as (_, reports):
            await reports.until(lambda report: report.written is not None)
            told = await reports.next(key="default/missing")
            failed = await reports.next(key="default/broken")

        assert Fact.TARGET_MISSING in told.facts
        assert Fact.STEP_FAILED in failed.facts
        assert len(sound.writes) == 1

    run(scene())


def test_a_target_that_hangs_holds_up_nobody_else(dsn: str) -> None:
    class Hanging(PodTarget):
        async def scale(self, desired: int) -> None:
            self.writes.append((time.monotonic(), desired))
            await asyncio.Event().wait()

    async def scene() -> None:
        hanging, sound = Hanging(dsn, ("mail",)), PodTarget(dsn, ("reports",))
        assignments = [
            assigned(hanging),
            Assignment(key="default/sound", queues=("reports",), policy=POLICY, target=sound),
        ]
        async with sound.running(), looping(dsn, assignments) as (_, reports):
            await enqueue(dsn, 10)
            await reports.next(2, key="default/sound")
            await enqueue(dsn, 500, "reports")
            began_s = time.monotonic()
            await reports.until(lambda report: report.written is not None, key="default/sound")
            took_s = time.monotonic() - began_s
            await reports.next(3, key="default/sound")

        assert len(hanging.writes) == 1
        assert took_s < 2.5

    run(scene())


@pytest.mark.parametrize(("age", "reports_until_gone"), [("1 hour", 3), ("0 s", 10)])
def test_a_pod_that_died_loses_its_lease_at_once_and_a_young_one_soon(
    dsn: str, age: str, reports_until_gone: int
) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(2),
            looping(dsn, [assigned(target, fixed(2))]) as (_, reports),
        ):
            await execute(
                dsn, "UPDATE queueworker.worker SET started_at = started_at - %s::interval", age
            )
            await reports.next()
            target.crash("worker-0")
            await reports.next(reports_until_gone)
            rows = await execute(dsn, "SELECT pod FROM queueworker.worker ORDER BY pod")

        assert rows == [("worker-1",), ("worker-2",)]

    run(scene())


def test_the_new_worker_of_a_restarted_container_keeps_its_lease(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(1),
            looping(dsn, [assigned(target, fixed(1))]) as (_, reports),
        ):
            before = await execute(dsn, "SELECT id FROM queueworker.worker")
            target.restart("worker-0")
            await reports.next(10)
            after = await execute(dsn, "SELECT id FROM queueworker.worker")

        assert after == before

    run(scene())


@pytest.mark.parametrize("reports_between", [2, 10])
def test_a_worker_that_drains_after_its_container_restarted_keeps_its_lease(
    dsn: str, reports_between: int
) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(1),
            looping(dsn, [assigned(target, fixed(1))]) as (_, reports),
        ):
            [(drains,)] = await execute(dsn, "SELECT id FROM queueworker.worker")
            target.restart("worker-0")
            await reports.next(reports_between)
            target.evict("worker-0")
            await reports.next(10)
            after = await execute(dsn, "SELECT id FROM queueworker.worker")

        assert (drains,) in after

    run(scene())


def test_a_due_job_is_backlog_though_no_worker_lives_to_promote_it(dsn: str) -> None:
    async def scene() -> None:
        await execute(
            dsn, "SELECT queueworker.enqueue('mail', 'work', run_at => clock_timestamp() + '1 s')"
        )
        target = PodTarget(dsn, ("mail",))
        async with target.running(), looping(dsn, [assigned(target)]) as (_, reports):
            await reports.until(lambda report: report.written is not None)
            await reports.until(lambda report: bool(report.sample and report.sample.ready == 1))

        assert target.writes[0][1] == 1

    run(scene())


def test_queues_without_a_worker_are_swept_and_the_next_enqueue_wakes_the_loop(dsn: str) -> None:
    async def scene() -> None:
        await execute(
            dsn, "SELECT queueworker.enqueue('mail', 'work', run_at => clock_timestamp() + '1 s')"
        )
        target = PodTarget(dsn, ("mail",))
        policy = replace(POLICY, mode=Mode.DRY_RUN)
        settings = LoopSettings(tend_every_s=0.5)
        async with looping(dsn, [assigned(target, policy)], settings=settings) as (_, reports):
            await reports.until(lambda report: bool(report.sample and report.sample.ready == 1))
            await reports.until(
                lambda report: bool(report.sample and report.sample.announced_total == 1)
            )
        rows = await execute(
            dsn, "SELECT idle, pos IS NOT NULL FROM queueworker.job, queueworker.queue"
        )

        assert rows == [(True, True)]

    run(scene())


def test_jobs_of_a_task_that_the_workers_do_not_know_start_no_pods(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(1),
            looping(dsn, [assigned(target, replace(POLICY, min_replicas=1))]) as (_, reports),
        ):
            await reports.next()
            await enqueue(dsn, 500, task="unheard-of")
            report = await reports.until(lambda report: Fact.UNCLAIMABLE_JOBS in report.facts)
            await reports.next(2)

        assert "unheard-of" in report.facts[Fact.UNCLAIMABLE_JOBS]
        assert target.writes == []

    run(scene())


def test_jobs_of_an_unknown_task_that_keep_coming_start_no_pods(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        async with (
            target.running(1),
            looping(dsn, [assigned(target, replace(POLICY, min_replicas=1))]) as (_, reports),
        ):
            await reports.next()
            async with arriving(dsn, task="unheard-of"):
                report = await reports.until(lambda report: unclaimable(report) > 300, timeout_s=60)

        assert target.writes == []
        assert report.decision is not None
        assert report.decision.arrival_rate_per_s < 1.0

    run(scene())


def test_a_paused_queue_that_receives_jobs_has_no_replica_before_its_resume(dsn: str) -> None:
    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        await enqueue(dsn, 10)
        await execute(dsn, "SELECT queueworker.queue_pause('mail', true)")
        async with target.running(), arriving(dsn):
            async with looping(dsn, [assigned(target)]) as (_, reports):
                paused = await reports.until(lambda report: unannounced(report) > 0)
                await enqueue(dsn, 300)
                last = await reports.next(8)
            async with looping(dsn, [assigned(target)]) as (_, reports):
                await reports.next(3)
                again = {unannounced(report) for report in reports.by_key[KEY] if report.sample}
                writes = list(target.writes)
                await execute(dsn, "SELECT queueworker.queue_pause('mail', false)")
                resumed = await reports.until(lambda report: report.written is not None)

        assert writes == []
        assert {unannounced(paused), unannounced(last)} == again
        assert resumed.sample is not None
        assert resumed.decision is not None
        assert resumed.sample.ready > 300
        assert resumed.sample.announced_total >= 300
        assert resumed.decision.arrival_rate_per_s < 1.0

    run(scene())


def unannounced(report: Report) -> float:
    return report.sample.unannounced_total if report.sample else 0.0


def unclaimable(report: Report) -> float:
    return report.sample.unclaimable if report.sample else 0.0
