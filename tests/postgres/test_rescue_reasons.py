"""Jobs that are taken back are counted by what told that their worker is gone."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from tests.support.engine import Engine, engine, succeed
from tests.support.loops import KEY, enqueue, looping
from tests.support.postgres import Connection
from tests.support.targets import PodTarget

from queueworker.schema import migrate, migrate_beside_work, migrations
from queueworker_operator.controller import Assignment
from queueworker_operator.decision.model import Policy
from queueworker_operator.metrics import Metrics

pytestmark = pytest.mark.postgres

# How many were taken back, and how many of them from pods that are gone.
Counts = tuple[int, int]

[BEFORE] = [at for at, file in enumerate(migrations()) if file.name.endswith("_rescue_reasons")]
AGED = "UPDATE queueworker.worker SET started_at = started_at - interval '1 minute'"
END_LEASE = "SELECT queueworker.end_lease(%s)"
RESCUED = "SELECT rescued_total FROM queueworker.queue_lag(ARRAY['mail'])"
BY_REASON = """
    SELECT rescued_total - rescued_pod_gone_total, rescued_pod_gone_total
    FROM queueworker.queue_lag(ARRAY['mail'])
"""
SWEEP = "SELECT * FROM queueworker.sweep_queue(%s, '{}')"
SWEPT_LONG_AGO = "UPDATE queueworker.queue SET swept_at = now() - interval '1 s'"


async def counts(e: Engine) -> Counts:
    lag = await e.lag()
    return lag.rescued_total, lag.rescued_pod_gone_total


async def lose(e: Engine, jobs: int, *, pod: str = "", started: int = 0) -> None:
    """Take jobs in a worker that nobody hears of again; without a pod, its lease is over. None dies of it."""
    await e.enqueue(jobs)
    worker = await e.worker(pod=pod)
    await e.claim(worker, jobs, started=started)
    if not pod:
        await e.expire(worker)
    await e.conn.execute(AGED)


async def end(e: Engine, *pods: str) -> int:
    return int(await e.one(END_LEASE, list(pods)))


def test_jobs_of_a_pod_that_is_gone_and_of_a_lease_that_is_over_are_told_apart(dsn: str) -> None:
    async def scenario() -> list[Counts]:
        async with engine(dsn) as e:
            await lose(e, 2)
            await e.store.rescue()
            seen = [await counts(e)]
            await lose(e, 3, pod="mail-1", started=1)
            await lose(e, 4, pod="mail-2")
            await end(e, "mail-1")
            seen.append(await counts(e))
            await e.sweep()  # adds up what was read row by row
            return [*seen, await counts(e)]

    assert asyncio.run(scenario()) == [(2, 0), (5, 3), (5, 3)]


def test_a_lease_that_was_over_before_the_operator_saw_the_pod_gone_has_ended_by_itself(
    dsn: str,
) -> None:
    async def scenario() -> Counts:
        async with engine(dsn) as e:
            await lose(e, 2)
            await e.all("DELETE FROM queueworker.worker RETURNING id")
            await lose(e, 3, pod="mail-1")
            await end(e, "mail-1")  # it takes back whatever has no worker
            return await counts(e)

    assert asyncio.run(scenario()) == (5, 3)


def test_what_others_hold_when_the_lease_is_ended_keeps_its_reason(dsn: str) -> None:
    async def scenario() -> tuple[int, Counts, Counts]:
        async with engine(dsn) as e, engine(dsn) as other:
            await lose(e, 2, pod="mail-1")
            async with other.conn.transaction():
                await other.conn.execute("SELECT FROM queueworker.job FOR UPDATE")
                ended = await end(e, "mail-1")
                during = await counts(e)
            await e.store.rescue()
            return ended, during, await counts(e)

    assert asyncio.run(scenario()) == (0, (0, 0), (2, 2))


def test_the_results_that_come_after_that_are_counted(dsn: str) -> None:
    async def scenario() -> list[int]:
        async with engine(dsn) as e:
            await e.enqueue(2)
            jobs = await e.claim(await e.worker(pod="mail-1"), 2)
            await e.conn.execute(AGED)
            await end(e, "mail-1")
            await e.store.complete(e.queue, [succeed(job) for job in jobs])
            seen = [(await e.lag()).refused_total]
            await e.sweep()
            return [*seen, (await e.lag()).refused_total]

    assert asyncio.run(scenario()) == [2, 2]


def test_a_scrape_of_the_operator_tells_the_reasons(dsn: str) -> None:
    registry = CollectorRegistry()

    def rescued(reason: str) -> float | None:
        labels = {"namespace": "default", "queueworker": "mail", "queue": "mail", "reason": reason}
        return registry.get_sample_value("queueworker_rescued_jobs_total", labels)

    async def scene() -> None:
        target = PodTarget(dsn, ("mail",))
        policy = Policy(max_replicas=2, slots_per_pod=4, replicas=1)
        mail = Assignment(key=KEY, queues=("mail",), policy=policy, target=target)
        async with engine(dsn) as e, target.running(replicas=1):
            await lose(e, 2)
            await e.store.rescue()
            await enqueue(dsn, 3)
            [pod] = target.pods_by_name.values()
            await e.claim(pod.worker_id, 3, tasks=("work",))
            await e.conn.execute(AGED)
            async with looping(dsn, [mail], metrics=Metrics(registry)) as (_, reports):
                await reports.next()
                assert (rescued("pod_gone"), rescued("lease_ended")) == (0, 2)
                target.crash(pod.name)
                await reports.until(lambda _: rescued("pod_gone") == 3)
                assert rescued("lease_ended") == 2

    asyncio.run(scene())


def test_no_count_falls_while_the_schema_changes_and_what_was_before_stays_without_a_pod(
    empty_dsn: str,
) -> None:
    """Sessions sweep and read as of before; what they lose is taken back before and after."""
    stop = threading.Event()
    failed: list[Exception] = []
    read: list[int] = []

    def work() -> None:
        with psycopg.connect(empty_dsn, autocommit=True) as conn:
            [queue] = conn.execute("SELECT id FROM queueworker.queue").fetchone() or (0,)
            while not stop.is_set():
                try:
                    conn.execute(SWEPT_LONG_AGO)
                    conn.execute(SWEEP, (queue,))
                    read.append(number(conn))
                except psycopg.Error as error:
                    failed.append(error)
                    return

    async def lost(pods: list[str]) -> int:
        async with engine(empty_dsn) as e:
            await lose(e, 2)
            await e.store.rescue()
            for pod in pods:
                await lose(e, 3, pod=pod)
            return await end(e, *pods[1:])

    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        migrate(conn, files_=migrations()[:BEFORE])
        asyncio.run(lost(["mail-0", "mail-1"]))
        with going_on(work, stop):
            wait_for(read, 20)
            migrate_beside_work(conn)
            wait_for(read, len(read) + 20)
            at_once = conn.execute(BY_REASON).fetchone()
            # The claim of a worker that was lost before.
            conn.execute(END_LEASE, (["mail-0"],))
            asyncio.run(lost(["mail-2", "mail-3"]))
            wait_for(read, len(read) + 20)
        later = conn.execute(BY_REASON).fetchone()

    assert failed == []
    assert all(before <= after for before, after in pairwise(read))
    assert (at_once, later) == ((5, 0), (7, 6))


@contextmanager
def going_on(work: Callable[[], None], stop: threading.Event) -> Iterator[None]:
    """Do some work in a thread until the block ends, however it does."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def number(conn: Connection) -> int:
    return int((conn.execute(RESCUED).fetchone() or (0,))[0])


def wait_for(read: list[int], count: int) -> None:
    """Let the session go on until it has read so often."""
    until = threading.Event()
    for _ in range(600):
        if len(read) >= count:
            return
        until.wait(0.05)
    raise AssertionError(f"{len(read)} readings instead of {count}")
