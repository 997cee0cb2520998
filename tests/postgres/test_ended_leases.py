"""The operator ends the lease of a pod that is gone."""

import asyncio

import pytest
from tests.support.engine import engine

pytestmark = pytest.mark.postgres

AGED = "UPDATE queueworker.worker SET started_at = started_at - interval '1 minute'"


def test_the_operator_ends_leases_also_while_rescue_holds_back(dsn: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with engine(dsn) as e:
            await e.enqueue(4)
            for number in range(4):
                worker = await e.worker(pod=f"mail-{number}")
                await e.claim(worker)
                await e.expire(worker)
            await e.conn.execute(AGED)
            return await e.store.rescue(), await e.one(
                "SELECT queueworker.end_lease(ARRAY['mail-0', 'mail-2'])"
            )

    assert asyncio.run(scenario()) == (0, 2)


def test_ending_the_lease_of_a_pod_gives_its_jobs_back_at_once(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(4)
            for pod in ("mail-1", "mail-2"):
                await e.claim(await e.worker(pod=pod), 2)
            await e.conn.execute(AGED)
            call = "SELECT queueworker.end_lease(%s)"
            ended = [await e.one(call, [name]) for name in ("other", "mail-1", "default/mail-2")]
            return [*ended, (await e.states())["ready"]]

    assert asyncio.run(scenario()) == [0, 2, 2, 4]


def test_ending_a_lease_spares_the_worker_of_a_restarted_container(dsn: str) -> None:
    async def scenario() -> tuple[int, dict[str, int]]:
        async with engine(dsn) as e:
            await e.enqueue(4)
            await e.claim(await e.worker(pod="mail-1"), 2)
            await e.conn.execute(AGED)
            await e.claim(await e.worker(pod="mail-1"), 2)
            return await e.one("SELECT queueworker.end_lease(%s)", ["mail-1"]), await e.states()

    assert asyncio.run(scenario()) == (2, {"ready": 2, "running": 2})
