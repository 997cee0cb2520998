"""Queues that stand still: sweep until nothing is new, and see what the next sweep does."""

from tests.support.engine import Engine, succeed

PUBLICATION = "SELECT p.xmin::text FROM queueworker.queue_lag_published AS p WHERE queue_id = %s"


async def sweeps_in_full(e: Engine) -> bool:
    """Sweep once; give whether the sweep looked at the queue from end to end."""
    before = await e.one(PUBLICATION, e.queue.id)
    await e.sweep()
    return bool(await e.one(PUBLICATION, e.queue.id) != before)


async def until_still(e: Engine) -> None:
    for _ in range(8):
        if not await sweeps_in_full(e):
            return
    raise AssertionError("eight sweeps in a row found something new")


async def an_ended_job(e: Engine) -> None:
    await e.enqueue(1)
    jobs = await e.claim(await e.worker())
    await e.store.complete(e.queue, [succeed(job) for job in jobs])
    await until_still(e)


async def ready_after_sweeps(e: Engine, sweeps: int = 2) -> tuple[int, int]:
    """Give what is told to be ready, and what can be claimed."""
    for _ in range(sweeps):
        await e.sweep()
    told = (await e.lag()).ready
    return told, len(await e.claim(await e.worker(), 100))
