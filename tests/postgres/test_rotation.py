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

    async def save_states(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        await asyncio.sleep(SAVING_S)
        await super().save_states(states)
        self._notes.append("saved")

    async def load_state(self, name: str) -> Mapping[str, Any] | None:
        self._notes.append("loaded")
        return await super().load_state(name)


def test_the_loop_of_a_rotated_secret_goes_on_with_what_the_one_before_learned(dsn: str) -> None:
    notes: list[str] = []
    reports, registry = Reports(), CollectorRegistry()
    metrics = Metrics(registry)
    assignment = Assignment(
        key=KEY,
        queues=("mail",),
        policy=Policy(max_replicas=5, mode=Mode.DRY_RUN),
        target=PodTarget(dsn, ("mail",)),
    )

    def new_loop(database: Database) -> DatabaseLoop:
        return DatabaseLoop(
            Noting(database.dsn, notes),
            reports,
            may_write=lambda: True,
            settings=LoopSettings(),
            wall_clock=time.time,
            metrics=metrics,
        )

    async def scene() -> None:
        await enqueue(dsn, 10)
        loops = Loops(new_loop)
        loops.settle({KEY: (Database(dsn), assignment)})
        await reports.next(2)
        loops.settle({KEY: (Database(f"{dsn} application_name=rotated"), assignment)})
        await reports.until(lambda _: len(notes) == 3)
        await reports.next()
        namespace, _, name = KEY.partition("/")
        labels = {"namespace": namespace, "queueworker": name}
        desired = registry.get_sample_value("queueworker_desired_replicas", labels)
        await loops.stop()

        assert notes[:3] == ["loaded", "saved", "loaded"]
        assert desired is not None

    asyncio.run(scene())


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
