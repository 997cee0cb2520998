"""The queue against a model, over random interleavings of real connections.

QUEUEWORKER_MACHINE_RUNS and QUEUEWORKER_MACHINE_STEPS ask for more; a failure prints a blob that
replays it.
"""

import os
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import FlakyFailure, FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test
from tests.support import history, planted
from tests.support.history import History
from tests.support.history.record import READ, fold
from tests.support.machine import QueueMachine, World
from tests.support.planted import MORE, PLANTED, Bug

from queueworker.errors import LockTimeout

pytestmark = pytest.mark.postgres

RUNS = int(os.environ.get("QUEUEWORKER_MACHINE_RUNS", "40"))
STEPS = int(os.environ.get("QUEUEWORKER_MACHINE_STEPS", "40"))
SETTINGS = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS,
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


# Bugs that show in a few dozen runs; the checker's own test has them all.
QUICK = {
    "acknowledges by id alone",
    "claims what is running",
    "rescues and keeps the token",
    "retries and keeps the token",
    "gives a job back at its old position",
    "charges nobody for a crash",
    "promotes a due job away",
    "ignores priorities",
}
FAILS = settings(
    SETTINGS, max_examples=1000, print_blob=False, phases=[Phase.generate], database=None
)


@pytest.fixture
def world(dsn: str) -> Iterator[World]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        history.record(conn)
    world = World(dsn)
    yield world
    world.close()


def machine_of(world: World) -> type[QueueMachine]:
    class Machine(QueueMachine):
        def __init__(self) -> None:
            super().__init__(world)

    return Machine


@pytest.mark.timeout(max(120, RUNS * STEPS // 10))
def test_every_interleaving_leaves_what_the_model_says(world: World) -> None:
    run_state_machine_as_test(machine_of(world), settings=SETTINGS)
    events = fold(world.rows(READ))
    alone = {job_id for (job_id,) in world.rows("SELECT id FROM queueworker.dead_job")}

    assert history.check(History(events=events, left_alone=alone)) == []
    assert world.steps > RUNS * 5


@pytest.mark.parametrize(
    "bug", [bug for bug in [*PLANTED, *MORE] if bug.name in QUICK], ids=lambda bug: bug.name
)
def test_the_machine_finds_a_planted_bug(
    bug: Bug, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        bug.plant(conn, monkeypatch)
    planted.forget_statements()
    world = World(dsn)
    try:
        assert is_found(world)
    finally:
        world.close()
        monkeypatch.undo()
        planted.forget_statements()


def is_found(world: World) -> bool:
    """Tell whether the machine finds a bug. Where the bug itself upsets the search, it begins anew.

    A stale write may also wait for a row that its rightful owner holds in a transaction.
    """
    for _ in range(3):
        try:
            run_state_machine_as_test(machine_of(world), settings=FAILS)
        except (AssertionError, FlakyFailure, LockTimeout):
            return True
        except FlakyStrategyDefinition:
            continue
        else:
            return False
    return False
