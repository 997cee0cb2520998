"""Pods of several namespaces, and of several clusters, may bear one name: each row is of one of them."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from itertools import product
from uuid import uuid4

import pytest
from tests.support.loops import Reports, execute, looping
from tests.support.targets import PodTarget

from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import PodId, Policy
from queueworker_operator.lag.pods import rows_of
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.report import Fact
from queueworker_operator.settings import LoopSettings

pytestmark = pytest.mark.postgres

REGISTER = """
    SELECT queueworker.register_worker(%s::uuid, 'mail-1', %s, '', '1', ARRAY['mail'], ARRAY['work'], 4, 60, %s)
"""
OF_AN_OLDER_VERSION = """
    SELECT queueworker.register_worker(
      id => gen_random_uuid(), pod => 'mail-1', namespace => 'ours', node => '', version => '1',
      queues => ARRAY['mail'], tasks => ARRAY['work'], slots => 4, ttl_s => 60)
"""
AGED = "UPDATE queueworker.worker SET started_at = started_at - interval '1 minute'"
ROWS = "SELECT namespace, pod FROM queueworker.worker ORDER BY namespace, pod"
POLICY = Policy(max_replicas=50, slots_per_pod=4)
HASTY = LoopSettings(read_every_s=0.2, patience_min_s=0.5, patience_max_s=1.0, spare_s=30.0)
OURS = PodId(namespace="ours", name="mail-1", uid="uid-1")
# What a row says, and whether it is of the pod above: alone in its database, and in a shared one.
TOLD = {
    ("ours", "uid-1"): (True, True),
    ("ours", "uid-2"): (False, False),  # of another cluster
    ("ours", ""): (True, True),
    ("theirs", ""): (False, False),
    ("theirs", "uid-2"): (False, False),
    ("", "uid-1"): (True, True),
    ("", "uid-2"): (False, False),
    ("", ""): (True, False),
}


def run(scene: Coroutine[object, object, None]) -> None:
    asyncio.run(scene)


def assigned(target: PodTarget, namespace: str, replicas: int) -> Assignment:
    policy = replace(POLICY, replicas=replicas)
    return Assignment(key=f"{namespace}/mail", queues=("mail",), policy=policy, target=target)


@pytest.mark.parametrize(("told", "shared"), list(product(TOLD, [False, True])))
def test_the_database_and_the_operator_tell_alike_whose_row_it_is(
    dsn: str, told: tuple[str, str], shared: bool
) -> None:
    async def scene() -> None:
        await execute(dsn, REGISTER, uuid4(), *told)
        await execute(dsn, AGED)
        source = PostgresLag(dsn)
        try:
            mine = rows_of(await source.workers(["mail"]), [OURS], shared=shared)
            await source.end_lease([OURS], shared=shared)
        finally:
            await source.close()

        assert bool(mine) is TOLD[told][shared]
        assert (await execute(dsn, ROWS) == []) is TOLD[told][shared]

    run(scene())


def test_without_the_uid_of_the_pod_the_namespace_decides(dsn: str) -> None:
    async def scene() -> None:
        for namespace in ("ours", "theirs"):
            await execute(dsn, REGISTER, uuid4(), namespace, "uid-2")
        await execute(dsn, AGED)
        source = PostgresLag(dsn)
        try:
            await source.end_lease([replace(OURS, uid="")], shared=True)
        finally:
            await source.close()

        assert await execute(dsn, ROWS) == [("theirs", "mail-1")]

    run(scene())


def test_a_worker_and_an_operator_of_an_earlier_version_call_as_before(dsn: str) -> None:
    async def scene() -> None:
        await execute(dsn, OF_AN_OLDER_VERSION)
        await execute(dsn, AGED)
        before = await execute(dsn, ROWS)
        await execute(dsn, "SELECT queueworker.end_lease(ARRAY['mail-1']::text[])")

        assert before == [("ours", "mail-1")]
        assert await execute(dsn, ROWS) == []

    run(scene())


async def crash_ours(ours: PodTarget, reports: Reports) -> None:
    ours.crash("worker-0")
    await reports.next(5, key="ours/mail")


@pytest.mark.parametrize("theirs_told", ["theirs", ""])
def test_a_namesake_of_another_namespace_keeps_its_lease_and_is_not_drained(
    dsn: str, theirs_told: str
) -> None:
    async def scene() -> None:
        ours = PodTarget(dsn, ("mail",), namespace="ours")
        theirs = PodTarget(dsn, ("mail",), namespace="theirs")
        assignments = [assigned(ours, "ours", 3), assigned(theirs, "theirs", 3)]
        async with (
            ours.running(3),
            theirs.running(3),
            looping(dsn, assignments, settings=HASTY) as (loop, reports),
        ):
            await execute(dsn, AGED)
            tell = "UPDATE queueworker.worker SET namespace = %s WHERE namespace = 'theirs'"
            await execute(dsn, tell, theirs_told)
            await crash_ours(ours, reports)
            after_the_crash = await execute(dsn, ROWS)
            loop.assign(assigned(ours, "ours", 1))
            await ours.until(lambda: len(ours.pods()) == 1)
            await theirs.until_renewed()
            drained = [pod.name for pod in theirs.pods_by_name.values() if pod.draining]

        names = [f"worker-{number}" for number in range(3)]
        assert [row for row in after_the_crash if row[0] != "ours"] == [
            (theirs_told, name) for name in names
        ]
        assert ("ours", "worker-0") not in after_the_crash
        assert drained == []
        assert theirs.writes == []

    run(scene())


def test_where_namespaces_share_a_database_workers_that_tell_none_block_the_scale_in_and_it_says_so(
    dsn: str,
) -> None:
    async def scene() -> None:
        ours = PodTarget(dsn, ("mail",), namespace="ours")
        theirs = PodTarget(dsn, ("mail",), namespace="theirs")
        alone, beside = assigned(ours, "ours", 3), assigned(theirs, "theirs", 1)
        async with (
            ours.running(4),
            theirs.running(1),
            looping(dsn, [alone], settings=HASTY) as (loop, reports),
        ):
            tell_none = "UPDATE queueworker.worker SET namespace = '' WHERE namespace = 'ours'"
            await execute(dsn, tell_none)
            await ours.until(lambda: len(ours.pods()) == 3)
            loop.assign(beside)
            loop.assign(assigned(ours, "ours", 2))
            report = await reports.until(
                lambda report: Fact.SCALE_IN_BLOCKED in report.facts, key="ours/mail"
            )

        assert len(ours.ended) == 1
        assert "QUEUEWORKER_POD_NAMESPACE" in report.facts[Fact.SCALE_IN_BLOCKED]

    run(scene())
