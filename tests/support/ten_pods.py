"""Ten pods, some of them busy, and a loop that keeps them until another size is asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.loops import KEY, Reports, looping
from tests.support.targets import PodTarget

from queueworker_operator.controller import Assignment, DatabaseLoop
from queueworker_operator.decision.model import Policy
from queueworker_operator.settings import LoopSettings

PATIENT = LoopSettings(read_every_s=0.2, patience_min_s=60.0)


def assigned(target: PodTarget, replicas: int) -> Assignment:
    policy = Policy(max_replicas=50, slots_per_pod=4, replicas=replicas)
    return Assignment(key=KEY, queues=("mail",), policy=policy, target=target, generation=1)


@asynccontextmanager
async def newest_busy(
    dsn: str, target: PodTarget, count: int, *, untold: bool = False
) -> AsyncIterator[tuple[DatabaseLoop, Reports]]:
    """Run ten pods of which the newest `count` are busy, and `untold` to the operator's caches."""
    async with (
        target.running(10),
        looping(dsn, [assigned(target, 10)], settings=PATIENT) as (loop, reports),
    ):
        await reports.next(2)
        for name in list(target.pods_by_name)[-count:]:
            target.pods_by_name[name].busy = 1
            if untold:
                target.untold.add(name)
        await target.until_renewed()
        yield loop, reports
