"""Twenty databases, and what one that hangs changes for the others: nothing, it should be."""

import time
from collections.abc import Sequence
from contextlib import ExitStack

from tests.support.fault_proxy import SILENT, FaultProxy

from benchmarks.cluster import Cluster, queue_worker, running_cluster, secret
from benchmarks.operated import running_operator
from benchmarks.running import Site, site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.scenarios.reaction import ENQUEUE_ONE, await_idle, time_bursts
from benchmarks.server import Server
from benchmarks.systems import System
from queueworker.cluster import Cluster as ServerFiles

DATABASES, QUEUES, SECONDS, HANG_S = 20, 3, 60.0, 5.0
ANSWERS, HANGS = "all answer", f"one of {DATABASES} hangs"


def cases(systems: Sequence[System], _options: Options) -> list[Case]:
    """Give both, to alternate between."""
    return [Case(system=system, variant=one) for one in (ANSWERS, HANGS) for system in systems]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Time bursts into all databases but the first, whose way may be made to swallow everything."""
    path = ServerFiles.at(server.path).socket_directory / ".s.PGSQL.5432"
    with ExitStack() as stack:
        places = [stack.enter_context(site(server, case.system)) for _ in range(DATABASES)]
        proxy = stack.enter_context(FaultProxy(str(path)))
        cluster = stack.enter_context(running_cluster())
        first = f"postgresql://postgres@127.0.0.1:{proxy.port}/{places[0].database}"
        bursts: list[tuple[Site, str, str]] = []
        for number, place in enumerate(places):
            dsn = server.url(place.database) if number else first
            bursts += _fill(cluster, place, number, dsn)
        stack.enter_context(running_operator(cluster))
        stack.enter_context(cluster.watched())
        for place in places:
            await_idle(place, QUEUES)
        if case.variant == HANGS:
            proxy.plan = SILENT
            time.sleep(HANG_S)
        return time_bursts(cluster, bursts[QUEUES:], options.duration_s or SECONDS)


def _fill(cluster: Cluster, place: Site, number: int, dsn: str) -> list[tuple[Site, str, str]]:
    queues = [f"queue-{at}" for at in range(QUEUES)]
    for queue in queues:
        place.conn.execute(ENQUEUE_ONE, (queue,))
    place.conn.execute("DELETE FROM queueworker.job")
    cluster.create([secret(f"db-{number}", dsn)])
    names = [f"worker-{number}-{at}" for at in range(QUEUES)]
    pairs = list(zip(names, queues, strict=True))
    cluster.create(
        body for name, queue in pairs for body in queue_worker(name, f"db-{number}", queues=[queue])
    )
    return [(place, queue, name) for name, queue in pairs]


SCENARIO = Scenario(
    name="bulkhead",
    summary="from a commit to the scale while one of 20 databases hangs, and while none does",
    cases=cases,
    measure=measure,
    repeats=1,
    with_rivals=False,
)
