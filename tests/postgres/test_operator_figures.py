"""What a scrape of a running operator tells about its decisions."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.loops import KEY, Reports, enqueue
from tests.support.targets import PodTarget

from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.decision.model import Mode, Policy
from queueworker_operator.lag.postgres import PostgresLag
from queueworker_operator.metrics import Metrics
from queueworker_operator.settings import LoopSettings

pytestmark = pytest.mark.postgres


def test_a_paused_queueworker_tells_what_each_policy_would_ask_for(dsn: str) -> None:
    async def scene() -> str:
        registry, reports = CollectorRegistry(), Reports()
        target = PodTarget(dsn, ("mail",))
        policy = Policy(max_replicas=50, slots_per_pod=4, mode=Mode.PAUSED)
        loop = DatabaseLoop(
            PostgresLag(dsn),
            reports,
            may_write=lambda: True,
            settings=LoopSettings(),
            metrics=Metrics(registry),
        )
        await enqueue(dsn, 90)
        loop.assign(Assignment(key=KEY, queues=("mail",), policy=policy, target=target))
        task = asyncio.create_task(loop.run())
        await reports.until(lambda report: report.sample is not None)
        scraped = generate_latest(registry).decode()  # before the end: it forgets
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return scraped

    told = {
        (sample.name, sample.labels.get("policy")): sample.value
        for family in text_string_to_metric_families(asyncio.run(scene()))
        for sample in family.samples
    }
    assert told["queueworker_desired_replicas", None] == 0
    assert told["queueworker_recommended_replicas", "keda"] == 23  # ceil(90 / 4)
    assert 1 <= told["queueworker_recommended_replicas", "dbc"] <= 50
