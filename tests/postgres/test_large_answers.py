"""A server that gives too much is refused before it fills the operator's memory."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.support.fault_proxy import FaultProxy, socket_of, through
from tests.support.large_answers import LONG_NAME, MANY_ROWS, replace_queue_lag
from tests.support.loops import enqueue, looping
from tests.support.pages import ROOT
from tests.support.targets import PodTarget

from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import Policy, Reason
from queueworker_operator.report import Fact

pytestmark = pytest.mark.postgres

MOST_GROWN_MB = 200
WORDS = "was not read: it is no honest one"


@pytest.fixture
def by_network(dsn: str) -> Iterator[str]:
    """Give a DSN that leads to the database by TCP, as in a cluster."""
    asyncio.run(enqueue(dsn, 3))
    with FaultProxy(socket_of(dsn)) as proxy:
        yield through(dsn, proxy)


def read(dsn: str) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.support.large_answers", dsn]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    told: dict[str, object] = json.loads(done.stdout)
    print(told)  # noqa: T201 -- the promise's figure
    return told


@pytest.mark.parametrize("what", [MANY_ROWS, LONG_NAME], ids=["10 million rows", "a 200 MB name"])
def test_what_a_function_gives_beyond_any_honest_answer_is_not_read(
    dsn: str, by_network: str, what: tuple[str, str]
) -> None:
    replace_queue_lag(dsn, *what)

    told = read(by_network)

    assert WORDS in str(told["refusal"])
    assert float(str(told["grown_mb"])) < MOST_GROWN_MB


def test_replicas_are_held_and_the_status_says_why(dsn: str, by_network: str) -> None:
    replace_queue_lag(dsn, *MANY_ROWS)

    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        policy = Policy(max_replicas=50, slots_per_pod=4)
        assignment = Assignment(key="default/mail", queues=("mail",), policy=policy, target=target)
        async with target.running(2), looping(by_network, [assignment]) as (_, reports):
            report = await reports.until(
                lambda report: WORDS in report.facts.get(Fact.METRICS_UNAVAILABLE, ""),
                timeout_s=60.0,
            )

        assert target.writes == []
        if report.decision is not None:
            assert report.decision.reason is Reason.NO_METRICS

    asyncio.run(scene())
