"""From the commit of a burst to the `/scale` at its final size, on a real API server.

Each burst goes into a queue of its own at a random moment: 0 -> 100 replicas. Everything is real
but the pods: there is nobody to start them, so the jobs are taken away once the answer is there.
"""

import random
import time
from collections.abc import Sequence

from benchmarks.cluster import Cluster, queue_worker, running_cluster, secret
from benchmarks.figures import waits_ms
from benchmarks.judged import judged
from benchmarks.operated import running_operator
from benchmarks.running import Site, site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.server import Server
from benchmarks.span import Meter, foreign_load
from benchmarks.systems import System

BURSTS, JOBS, REPLICAS, SEED = 200, 1_000, 100, 7
SECONDS, WITHIN_S, SETTLE_WITHIN_S = 360.0, 30.0, 120.0
ENQUEUE = """
    SELECT count(*) FROM queueworker.enqueue_many(%s, 'noop', ARRAY(
      SELECT jsonb_build_object('n', n) FROM generate_series(1, %s) AS n))
"""
CLEAR = """
    DELETE FROM queueworker.job
    WHERE queue_id = (SELECT q.id FROM queueworker.queue AS q WHERE q.name = %s)
"""
ENQUEUE_ONE = "SELECT queueworker.enqueue(%s, 'noop', '{\"n\": 1}')"
IDLE = "SELECT count(*) FROM queueworker.queue WHERE idle"

Burst = tuple[Site, str, str]
"""Where a burst goes: the database, the queue, and the Deployment that answers it."""


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give the one case: as many queues as bursts, in one database."""
    bursts = options.jobs_of(BURSTS)
    return [Case(system=system, variant=f"{bursts} bursts 0 -> {REPLICAS}") for system in systems]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Time every burst."""
    names = [f"burst-{number:04}" for number in range(options.jobs_of(BURSTS))]
    seconds = options.duration_s or SECONDS * len(names) / BURSTS
    with site(server, case.system) as place, running_cluster() as cluster:
        for name in names:
            place.conn.execute(ENQUEUE_ONE, (name,))
        place.conn.execute("DELETE FROM queueworker.job")
        cluster.create([secret("db", server.url(place.database))])
        cluster.create(body for name in names for body in queue_worker(name, "db"))
        judging = judged(cluster, [place.conn])
        with judging as verdict, running_operator(cluster), cluster.watched():
            await_idle(place, len(names))
            bursts = [(place, name, name) for name in names]
            sample = time_bursts(cluster, bursts, seconds)
        return {**sample, **verdict.figures()}


def await_idle(place: Site, count: int) -> None:
    """Wait until the operator has seen every queue."""
    ends_s = time.monotonic() + SETTLE_WITHIN_S
    while place.count(IDLE) < count and time.monotonic() < ends_s:
        time.sleep(0.2)


def answered(cluster: Cluster, burst: Burst) -> float:
    """Commit a burst; give how long it took to the answer, in seconds."""
    place, queue, name = burst
    with place.conn.transaction():
        place.conn.execute(ENQUEUE, (queue, JOBS))
        committed_s = time.monotonic()  # before the COMMIT is sent
    took_s = cluster.await_replicas(name, REPLICAS, WITHIN_S) - committed_s
    place.conn.execute(CLEAR, (queue,))  # else it is counted and swept for all the others
    return took_s


def time_bursts(cluster: Cluster, bursts: Sequence[Burst], seconds: float) -> Sample:
    """Commit bursts at random moments, and wait for each answer."""
    chance, waits_s, writes = random.Random(SEED), [], 0  # noqa: S311
    meter = Meter(bursts[0][0].server, bursts[0][0].conn)
    before = meter.read()
    for burst in bursts:
        time.sleep(chance.uniform(0.2, 1.8) * seconds / len(bursts))
        waits_s.append(answered(cluster, burst))
        writes += sum(change.name == burst[-1] for change in cluster.changes)
    after = meter.read()
    busy_s = after.machine_s - before.machine_s
    return {
        **waits_ms(waits_s),
        "writes_per_burst": round(writes / len(bursts), 2),
        "bursts_per_s": round(len(bursts) / seconds, 2),
        "busy_cores": round(busy_s / (after.at_s - before.at_s), 2),
        "foreign_load": foreign_load(before, after),
        "each_ms": [round(wait_s * 1000, 1) for wait_s in waits_s],
    }


SCENARIO = Scenario(
    name="reaction",
    summary="from a burst's commit to the write of /scale at its final size, on a real API server",
    cases=cases,
    measure=measure,
    repeats=1,
    with_rivals=False,
)
