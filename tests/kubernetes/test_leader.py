"""One holder of the Lease at a time; the holder stops in time, also when it is cut off."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.controlplane import ApiServer
from tests.support.mail import Place

from queueworker_operator.kube import Client, Credentials, find_credentials
from queueworker_operator.leader import LEASE_NAME, Leader, Pace

FAST = Pace(lease_s=2.0, deadline_s=1.2, retry_s=0.2, look_s=0.2)


@pytest.fixture
def place(api_server: ApiServer, namespace: str) -> Place:
    return Place(server=api_server, namespace=namespace)


def credentials(place: Place) -> Credentials:
    return find_credentials({"KUBECONFIG": str(place.server.kubeconfig)})


def candidate(
    client: Client, place: Place, identity: str, *, pace: Pace = FAST, pod: str | None = None
) -> Leader:
    return Leader(
        client,
        namespace=place.namespace,
        identity=identity,
        clock=time.monotonic,
        pace=pace,
        pod=pod,
    )


@contextlib.asynccontextmanager
async def running(leader: Leader) -> AsyncIterator[Leader]:
    task = asyncio.create_task(leader.run())
    try:
        yield leader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(leader: Leader, *, leads: bool, within_s: float = 8.0) -> float:
    """Wait until `leader` leads (or no longer does); give the seconds that took."""
    started_s = time.monotonic()
    async with asyncio.timeout(within_s):
        while leader.may_write() is not leads:  # noqa: ASYNC110 the clock ends it, no event
            await asyncio.sleep(0.02)
    return time.monotonic() - started_s


def test_one_of_two_leads_and_the_other_follows_when_it_releases(place: Place) -> None:
    async def scenario() -> None:
        async with Client(credentials(place)) as client:
            first = candidate(client, place, "first")
            second = candidate(client, place, "second")
            async with running(second):
                await until(second, leads=True)
                async with running(first):
                    await asyncio.sleep(FAST.lease_s + 1)
                    assert not first.may_write()
                    assert second.may_write()
            async with running(first):
                await second.release()
                assert not second.may_write()
                assert await until(first, leads=True) < 1.0

    asyncio.run(scenario())

    spec = place.get("lease", LEASE_NAME)["spec"]
    assert spec["holderIdentity"] == "first"
    assert spec["leaseTransitions"] >= 1


def test_a_dead_leader_is_followed_after_its_lease_and_never_earlier(place: Place) -> None:
    async def scenario() -> float:
        async with Client(credentials(place)) as client:
            dead = candidate(client, place, "dead")
            async with running(dead):
                await until(dead, leads=True)
            heir = candidate(client, place, "heir")
            async with running(heir):
                waited_s = await until(heir, leads=True)
            assert not dead.may_write()
            return waited_s

    assert FAST.lease_s <= asyncio.run(scenario()) < FAST.lease_s + 2


def test_a_standby_looks_as_soon_as_the_lease_ends(place: Place) -> None:
    """However rarely it looks meanwhile."""
    rare = Pace(lease_s=2.0, deadline_s=1.2, retry_s=30.0, look_s=1.9)

    async def scenario() -> float:
        async with Client(credentials(place)) as client:
            dead = candidate(client, place, "dead")
            async with running(dead):
                await until(dead, leads=True)
            async with running(candidate(client, place, "heir", pace=rare)) as heir:
                return await until(heir, leads=True)

    assert rare.lease_s <= asyncio.run(scenario()) < 2 * rare.look_s


def test_a_restarted_container_follows_itself_at_once(place: Place) -> None:
    async def scenario() -> tuple[float, bool]:
        async with Client(credentials(place)) as client:
            killed = candidate(client, place, "operator-7f9_1", pod="operator-7f9")
            async with running(killed):
                await until(killed, leads=True)
            other = candidate(client, place, "operator-7f_3", pod="operator-7f")
            await other._attempt()
            restarted = candidate(client, place, "operator-7f9_2", pod="operator-7f9")
            async with running(restarted):
                return await until(restarted, leads=True), other.may_write()

    waited_s, is_stolen = asyncio.run(scenario())

    assert waited_s < FAST.lease_s / 2
    assert not is_stolen


def test_a_leader_cut_off_from_the_api_server_stops_at_its_deadline(place: Place) -> None:
    async def scenario() -> float:
        async with Client(credentials(place)) as client:
            leader = candidate(client, place, "cut-off")
            async with running(leader):
                await until(leader, leads=True)
                await client.__aexit__(None, None, None)
                return await until(leader, leads=False)

    assert asyncio.run(scenario()) <= FAST.deadline_s + 0.2


def test_a_lease_taken_away_ends_the_leadership_at_once(place: Place) -> None:
    patch = '{"spec": {"holderIdentity": "somebody-else"}}'

    async def scenario() -> None:
        async with Client(credentials(place)) as client:
            leader = candidate(client, place, "robbed")
            async with running(leader):
                await until(leader, leads=True)
                merge = ("patch", "lease", LEASE_NAME, "--type=merge", "-p", patch)
                await asyncio.to_thread(place.kubectl, *merge)
                await until(leader, leads=False, within_s=1.0)
                assert leader.holder == "somebody-else"

    asyncio.run(scenario())


def test_a_hundred_races_for_a_free_lease_have_one_winner_each(place: Place) -> None:
    async def race(client: Client, number: int) -> int:
        rivals = [candidate(client, place, f"{number}-{rival}") for rival in range(3)]
        await asyncio.gather(*(rival._attempt() for rival in rivals))
        winners = [rival for rival in rivals if rival.may_write()]
        for winner in winners:
            await winner.release()
        return len(winners)

    async def scenario() -> list[int]:
        async with Client(credentials(place)) as client:
            return [await race(client, number) for number in range(100)]

    assert set(asyncio.run(scenario())) == {1}


def test_without_the_right_to_leases_nobody_leads(place: Place, tmp_path: Path) -> None:
    place.kubectl("create", "serviceaccount", "nobody")
    token = place.kubectl("create", "token", "nobody").strip()
    (tmp_path / "token").write_text(token)
    weak = Credentials(
        server=place.server.url,
        ca=place.server.certificate.read_text(),
        token_path=tmp_path / "token",
    )

    async def scenario() -> bool:
        async with Client(weak) as client:
            leader = candidate(client, place, "weak")
            await leader._attempt()
            return leader.may_write()

    assert not asyncio.run(scenario())
