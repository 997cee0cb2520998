"""What a loop has learned outlives it, and a state that it cannot read stops nothing."""

import pytest
from tests.support.loops import KEY, assigned, enqueue, execute, looping, run
from tests.support.targets import PodTarget

pytestmark = pytest.mark.postgres


def test_a_restart_changes_no_replica_and_keeps_what_was_learned(dsn: str) -> None:
    async def scene() -> None:
        await enqueue(dsn, 100)
        target = PodTarget(dsn, ("mail",))
        async with target.running(1):
            async with looping(dsn, [assigned(target)]) as (_, reports):
                before = await reports.until(lambda _: target.ready() > 1)
            writes = list(target.writes)
            await execute(
                dsn,
                "UPDATE queueworker.operator_state "
                "SET state = jsonb_set(state, '{state,observations}', '41')",
            )
            async with looping(dsn, [assigned(target)]) as (loop, reports):
                after = await reports.next(3)
                learned = loop._watches[KEY].state

        assert target.writes == writes
        assert before.decision is not None
        assert after.decision is not None
        assert after.decision.desired == before.decision.desired
        assert learned.observations >= 41
        assert learned.slots == 4

    run(scene())


@pytest.mark.parametrize(
    "stored", ['{"format": 99}', '{"format": 1, "state": {"version": 0}}', '{"format": 1}', "[]"]
)
def test_a_stored_state_of_another_version_is_dropped_and_work_goes_on(
    dsn: str, stored: str
) -> None:
    async def scene() -> None:
        await execute(dsn, "SELECT queueworker.save_state(%s, %s)", KEY, stored)
        await enqueue(dsn, 10)
        target = PodTarget(dsn, ("mail",))
        async with target.running(), looping(dsn, [assigned(target)]) as (_, reports):
            await reports.until(lambda report: report.written is not None)

        assert target.writes[0][1] > 0

    run(scene())
