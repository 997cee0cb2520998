"""A connection string that changes while its loop runs, and a connection that nobody answers."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.support.fault_proxy import FaultProxy, socket_of, through
from tests.support.loops import KEY, Reports, enqueue
from tests.support.targets import PodTarget

from queueworker.compat import override
from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.decision.model import Mode, Policy
from queueworker_operator.handlers.loops import Loops
from queueworker_operator.handlers.secrets import Database
from queueworker_operator.lag import Wake
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.metrics import Metrics
from queueworker_operator.settings import DatabaseSettings, LoopSettings

pytestmark = pytest.mark.postgres

SAVING_S = 0.5


class Noting(PostgresLag):
    """Takes its time to save, and notes what happened in which order."""

    def __init__(self, dsn: str, notes: list[str]) -> None:
        super().__init__(dsn)
        self._notes = notes

    @override
    async def save_states(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        await asyncio.sleep(SAVING_S)
        await super().save_states(states)
        self._notes.append("saved")

    @override
    async def load_state(self, name: str) -> Mapping[str, Any] | None:
        self._notes.append("loaded")
        return await super().load_state(name)


class Scene:
    """Loops whose sources note what they do; `mail` is decided at a database."""

    def __init__(self, dsn: str) -> None:
        self.notes: list[str] = []
        self.reports, self.registry = Reports(), CollectorRegistry()
        self.loops = Loops(self._new_loop)
        self._dsn, self._metrics = dsn, Metrics(self.registry)

    def _new_loop(self, database: Database) -> DatabaseLoop:
        return DatabaseLoop(
            Noting(database.dsn, self.notes),
            self.reports,
            may_write=lambda: True,
            settings=LoopSettings(),
            wall_clock=time.time,
            metrics=self._metrics,
        )

    def settle(self, key: str, *, application: str) -> None:
        """Make `key` the only QueueWorker, reached by a connection string of its own."""
        policy = Policy(max_replicas=5, mode=Mode.DRY_RUN)
        target = PodTarget(self._dsn, ("mail",))
        assignment = Assignment(key=key, queues=("mail",), policy=policy, target=target)
        database = Database(f"{self._dsn} application_name={application}")
        self.loops.settle({key: (database, assignment)})


def test_the_loop_of_a_rotated_secret_goes_on_with_what_the_one_before_learned(dsn: str) -> None:
    async def play() -> None:
        await enqueue(dsn, 10)
        scene = Scene(dsn)
        scene.settle(KEY, application="first")
        await scene.reports.next(2)
        scene.settle(KEY, application="rotated")
        await scene.reports.until(lambda _: len(scene.notes) == 3)
        await scene.reports.next()
        namespace, _, name = KEY.partition("/")
        labels = {"namespace": namespace, "queueworker": name}
        desired = scene.registry.get_sample_value("queueworker_desired_replicas", labels)
        await scene.loops.stop()

        assert scene.notes[:3] == ["loaded", "saved", "loaded"]
        assert desired is not None

    asyncio.run(play())


def test_a_loop_waits_for_no_other_queueworkers_loop_that_ends(dsn: str) -> None:
    async def play() -> None:
        await enqueue(dsn, 10)
        scene = Scene(dsn)
        scene.settle(KEY, application="first")
        await scene.reports.next(2)
        scene.settle("default/other", application="second")
        await scene.reports.next(1, "default/other")
        await scene.loops.stop()

        assert scene.notes[:3] == ["loaded", "loaded", "saved"]

    asyncio.run(play())


def test_wake_ups_come_back_where_a_box_on_the_way_takes_packets_and_passes_none_on(
    dsn: str,
) -> None:
    hasty = DatabaseSettings(call_timeout_s=0.5, probe_s=0.5)

    async def scene(proxy: FaultProxy) -> None:
        await enqueue(dsn, 1)
        source = PostgresLag(dsn, listen_dsn=through(dsn, proxy), settings=hasty)
        try:
            await source.read(["mail"])
            assert await source.wait(5.0, above=Wake.ROUTINE) is Wake.URGENT  # the LISTEN
            proxy.hush()
            assert await source.wait(25.0, above=Wake.ROUTINE) is Wake.URGENT  # a new one
        finally:
            await source.close()

    with FaultProxy(socket_of(dsn)) as proxy:
        asyncio.run(scene(proxy))
