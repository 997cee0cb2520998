"""The statuses of QueueWorkers: a counting API server, a fast clock."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web
from tests.support.mail import queue_worker
from tests.support.samples import sample

from queueworker_operator.decision.model import Decision, Policy, Reason, Replicas
from queueworker_operator.handlers.roster import Roster
from queueworker_operator.handlers.status import FIRSTS_PER_S, LOOK_EVERY_S, StatusWriter
from queueworker_operator.kube import Client
from queueworker_operator.kube.credentials import Credentials
from queueworker_operator.report import Report
from queueworker_operator.target.cache import ClusterCache

STEADY = Decision(desired=1, current=1, reason=Reason.STEADY, message="1")


@dataclass
class Place:
    """An operator's statuses; `now_s` is its clock, `writes` when each name was written."""

    writer: StatusWriter
    names: list[str]
    clock: "Clock"
    writes: list[tuple[float, str, dict[str, Any]]]
    events: list[str]
    leader: "Leader"
    roster: Roster
    standing: dict[str, dict[str, Any]]
    silence: asyncio.Event  # unset: nobody answers an event
    wrote: asyncio.Event
    ready: Counter[str] = field(default_factory=Counter)

    async def change(self, name: str, desired: int, **told_too: Any) -> None:
        """Report that another size is wanted."""
        decision = replace(STEADY, desired=desired)
        report = replace(told(0), decision=decision, changed=True, **told_too)
        await self.writer.report(f"default/{name}", report)

    async def pass_time(self, for_s: float, moving: Collection[str] = ()) -> None:
        """Let time pass: each second the backlog of those that move grows by one."""
        for _ in range(int(for_s)):
            for name in moving:
                self.ready[name] += 1
                await self.report(name)
            for _ in range(round(1 / LOOK_EVERY_S)):
                await self.writer._events.publish()
                await self.writer._write_due()
                self.clock.now_s += LOOK_EVERY_S

    def see(self, name: str, changes: dict[str, Any]) -> None:
        """Watch the status that we wrote last, after somebody changed it."""
        body = queue_worker(name) | {"status": self.standing[name] | changes}
        body["metadata"] |= {"namespace": "default", "uid": name, "generation": 1}
        self.roster.put(body)

    async def report(self, name: str) -> None:
        await self.writer.report(f"default/{name}", told(self.ready[name]))


@dataclass
class Leader:
    """Whether this replica may write; it loses that after some more events."""

    events_left: int | None = None

    def __call__(self) -> bool:
        return self.events_left != 0


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


def told(ready: int) -> Report:
    return Report(
        policy=Policy(),
        generation=1,
        decision=STEADY,
        sample=sample(ready=ready, oldest_age_s=1.0),
        replicas=Replicas(current=1, ready=1),
    )


@asynccontextmanager
async def operated(count: int) -> AsyncIterator[Place]:
    clock, leader = Clock(), Leader()
    writes: list[tuple[float, str, dict[str, Any]]] = []
    events: list[str] = []
    standing: dict[str, dict[str, Any]] = {}
    silence, wrote = asyncio.Event(), asyncio.Event()
    silence.set()

    async def patched(request: web.Request) -> web.Response:
        body = await request.json()
        name = request.match_info["name"]
        writes.append((clock.now_s, name, body["status"]))
        standing[name] = body["status"]
        wrote.set()
        return web.json_response({})

    async def happened(request: web.Request) -> web.Response:
        await silence.wait()
        events.append((await request.json())["involvedObject"]["name"])
        if leader.events_left:
            leader.events_left -= 1
        return web.json_response({})

    application = web.Application()
    application.router.add_post("/api/v1/namespaces/default/events", happened)
    path = "/apis/queueworker.dev/v1alpha1/namespaces/default/queueworkers/{name}/status"
    application.router.add_patch(path, patched)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    names, roster = [f"q{number}" for number in range(count)], Roster()
    for name in names:
        body = queue_worker(name)
        body["metadata"] |= {"namespace": "default", "uid": name, "generation": 1}
        roster.put(body)
    server = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with Client(Credentials(server=server)) as client:
        cache = ClusterCache(clock, clock)
        writer = StatusWriter(client, roster, cache, may_write=leader, clock=clock)
        place = Place(
            writer=writer,
            names=names,
            clock=clock,
            writes=writes,
            events=events,
            leader=leader,
            roster=roster,
            standing=standing,
            silence=silence,
            wrote=wrote,
        )
        for name in names:
            await place.report(name)
        await place.pass_time(1 + count / FIRSTS_PER_S)  # the first of each
        assert len(writes) == count
        writes.clear()
        yield place
    await runner.cleanup()
