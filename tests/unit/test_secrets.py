"""Connection strings out of Secrets that come and go: a real HTTP server, a fast clock."""

import asyncio
import base64
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from tests.support.mail import queue_worker

from queueworker_operator.handlers.secrets import LOST_S, REREAD_S, RETRY_S, Database, Secrets
from queueworker_operator.kube import Client
from queueworker_operator.kube.credentials import Credentials
from queueworker_operator.resource import ConditionReason, ResourceSpec, Trouble, parse

OLD, NEW = "host=old dbname=mail", "host=new dbname=mail"
NEEDED = [("default", "mail-db")]


@dataclass
class Scene:
    """A Secret that an API server answers with `status`; `pass_time` reads it whenever it is due."""

    spec: ResourceSpec
    now_s: float = 1000.0
    status: int = 200
    dsn: str = OLD
    secrets: Secrets = field(init=False)

    async def pass_time(self, for_s: float) -> Database | Trouble:
        """Let time pass; give where the queue is then."""
        ends_s = self.now_s + for_s
        while self.now_s < ends_s:
            self.now_s += 1.0
            await self.secrets.refresh(NEEDED)
        return self.secrets.database_of(self.spec)

    async def answer(self, _: web.Request) -> web.Response:
        if self.status != 200:
            return web.json_response({"message": "no"}, status=self.status)
        return web.json_response({"data": {"dsn": base64.b64encode(self.dsn.encode()).decode()}})


@asynccontextmanager
async def answered() -> AsyncIterator[Scene]:
    body = queue_worker("mail")
    body["metadata"] |= {"namespace": "default", "uid": "mail", "generation": 1}
    scene = Scene(spec=parse(body))
    application = web.Application()
    application.router.add_get("/api/v1/namespaces/default/secrets/mail-db", scene.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with Client(Credentials(server=f"http://127.0.0.1:{runner.addresses[0][1]}")) as client:
        scene.secrets = Secrets(client, clock=lambda: scene.now_s, random_unit=lambda: 0.0)
        await scene.secrets.refresh(NEEDED)
        yield scene
    await runner.cleanup()


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_secret_that_is_made_anew_suspends_nothing(status: int) -> None:
    async def play() -> None:
        async with answered() as scene:
            scene.status = status
            assert await scene.pass_time(REREAD_S + LOST_S - RETRY_S) == Database(OLD)
            scene.status, scene.dsn = 200, NEW
            assert await scene.pass_time(2 * RETRY_S) == Database(NEW)

    run(play())


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, ConditionReason.SECRET_UNAVAILABLE), (404, ConditionReason.SECRET_NOT_FOUND)],
)
def test_a_secret_that_stays_away_suspends(status: int, reason: ConditionReason) -> None:
    async def play() -> None:
        async with answered() as scene:
            scene.status = status
            told = await scene.pass_time(REREAD_S + LOST_S + 2 * RETRY_S)
            assert isinstance(told, Trouble)
            assert told.reason is reason
            scene.status = 200
            assert await scene.pass_time(2 * RETRY_S) == Database(OLD)

    run(play())


def test_an_api_server_in_trouble_changes_nothing_that_is_known() -> None:
    async def play() -> None:
        async with answered() as scene:
            scene.status = 500
            assert await scene.pass_time(3600) == Database(OLD)

    run(play())
