"""What the operator costs at rest: memory, CPU, writes to the API server, connections, queries.

A few queues are at work (a real worker, a job a second each), the others stand still, as in a
cluster where most teams sleep.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks.cluster import Cluster, queue_worker, running_cluster, secret
from benchmarks.cpu import resident_bytes, trees_cpu_s
from benchmarks.errors import NotCompleted
from benchmarks.operated import Operator, running_operator
from benchmarks.running import Site, site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.server import Connection, Server
from benchmarks.span import Meter, foreign_load
from benchmarks.systems import System
from benchmarks.systems.queueworker import PYTHON
from benchmarks.systems.system import Command
from queueworker.cluster import Cluster as ServerFiles

PER_DATABASE, ACTIVE, EVERY_S = 1_000, 20, 1.0
SETTLE_S, QUIET_WRITES, SECONDS = 10.0, 20, 60.0
FIRST_MINUTE_S = 90.0  # what was learned is saved for the first time: then it is at rest
LEAST_SETTLE_S, SETTLE_PER_WORKER_S = 60.0, 0.1  # their first statuses are written fifty a second
ROLE = "operator_role"
STATEMENT = (b"LOG:  statement:", b"LOG:  execute ")
MAKE_ROLE = f"""
    DO $$ BEGIN
      CREATE ROLE {ROLE} LOGIN SUPERUSER;
    EXCEPTION WHEN duplicate_object THEN NULL; END $$;
    ALTER ROLE {ROLE} SET log_statement = 'all'
"""
ENQUEUE_ONE = "SELECT queueworker.enqueue(%s, 'noop', '{\"n\": 1}')"
KNOWN = """
    SELECT count(queueworker.enqueue('queue-' || lpad(n::text, 5, '0'), 'noop', '{"n": 1}'))
    FROM generate_series(0, %s) AS n
"""
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND datname = %s"


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give 1,000 QueueWorkers of one database, and 10,000 of ten."""
    sizes = (options.size,) if options.size else (PER_DATABASE, 10 * PER_DATABASE)
    return [
        Case(system=system, variant=f"{size:,} QueueWorkers, {databases_of(size)} databases")
        for size in sizes
        for system in systems
    ]


def databases_of(size: int) -> int:
    """Give how many databases hold the queues of so many QueueWorkers."""
    return max(1, size // PER_DATABASE)


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Let the operator settle, then measure it for a while."""
    size = int(case.variant.split()[0].replace(",", ""))
    with ExitStack() as stack:
        places = [stack.enter_context(site(server, case.system)) for _ in range(databases_of(size))]
        cluster = stack.enter_context(running_cluster())
        places[0].conn.execute(MAKE_ROLE.encode())
        for number, place in enumerate(places):
            _fill(cluster, place, number, size // len(places))
        stack.enter_context(_at_work(places[0]))
        before = cluster.writes()["queueworkers"]
        operator = stack.enter_context(running_operator(cluster))
        settled_s = _settle(cluster, before, size)
        time.sleep(FIRST_MINUTE_S if options.duration_s is None else 0.0)
        measured = _measured(cluster, places, operator, options.duration_s or SECONDS)
        return {"settled_after_s": settled_s, **measured}


def _fill(cluster: Cluster, place: Site, number: int, count: int) -> None:
    place.conn.execute(KNOWN, (count - 1,))
    place.conn.execute("DELETE FROM queueworker.job")
    dsn = place.server.url(place.database).replace("postgres@", f"{ROLE}@")
    cluster.create([secret(f"db-{number}", dsn)])
    cluster.create(
        body
        for at in range(count)
        for body in queue_worker(
            f"worker-{number}-{at:05}", f"db-{number}", queues=[f"queue-{at:05}"]
        )
    )


@contextmanager
def _at_work(place: Site) -> Iterator[None]:
    """Run a real worker for some of the queues, and enqueue a job a second into each."""
    queues = [f"queue-{number:05}" for number in range(ACTIVE)]
    command = (PYTHON, "-m", "queueworker", "worker", "--port", "0")
    app = ("--app", "benchmarks.programs.queueworker_tasks:app")
    flags = [part for queue in queues for part in ("--queue", queue)]
    place.workers.append(place.start(Command(arguments=(*command, *app)), *flags))
    stop = threading.Event()
    with place.server.connect(place.database) as conn:
        producer = threading.Thread(target=_produce, args=(conn, queues, stop))
        producer.start()
        try:
            yield
        finally:
            stop.set()
            producer.join()


def _produce(conn: Connection, queues: Sequence[str], stop: threading.Event) -> None:
    while not stop.is_set():
        for queue in queues:
            conn.execute(ENQUEUE_ONE, (queue,))
            stop.wait(EVERY_S / len(queues))


def _settle(cluster: Cluster, before: int, size: int) -> float:
    """Wait until each new QueueWorker has its first status and writes cease; give how long that took.

    Raises:
        NotCompleted: statuses are missing, or the operator goes on writing.
    """
    began_s, last, told, now = time.monotonic(), 0, 0, cluster.writes()
    while time.monotonic() < began_s + LEAST_SETTLE_S + size * SETTLE_PER_WORKER_S:
        time.sleep(SETTLE_S)
        last, now = sum(now.values()), cluster.writes()
        told = now["queueworkers"] - before
        if told >= size and sum(now.values()) - last < QUIET_WRITES:
            return round(time.monotonic() - began_s, 1)
    rate = (sum(now.values()) - last) / SETTLE_S
    raise NotCompleted(
        f"{told:,} of {size:,} statuses are written, {rate:.0f} writes a second go on"
    )


def _measured(
    cluster: Cluster, places: Sequence[Site], operator: Operator, seconds: float
) -> Sample:
    log = ServerFiles.at(places[0].server.path).home / "log"
    meter = Meter(places[0].server, places[0].conn, [operator.pid])
    written, statements, before = cluster.writes(), _statements(log.read_bytes()), meter.read()
    cpu_s, server_s = trees_cpu_s([operator.pid]), before.server_s
    ticks = operator.metric("queueworker_metric_read_seconds_count")
    scaled, connections = len(cluster.changes), 0
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        time.sleep(5)
        connections = max(connections, *map(_connections, places))
        places[0].check_workers()
    after, lasted_s = meter.read(), time.time() - before.at_s
    cpu_s = trees_cpu_s([operator.pid]) - cpu_s
    statements = _statements(log.read_bytes()) - statements
    ticks = operator.metric("queueworker_metric_read_seconds_count") - ticks
    writes = {name: count - written[name] for name, count in cluster.writes().items()}
    return {
        "rss_mb": round(resident_bytes(operator.pid) / 2**20, 1),
        "cores": round(cpu_s / lasted_s, 3),
        "reads_per_s": round(ticks / lasted_s / len(places), 3),
        "queries_per_s": round(statements / lasted_s / len(places), 3),
        "connections": connections,
        "api_writes_per_s": round(sum(writes.values()) / lasted_s, 3),
        "scalings": len(cluster.changes) - scaled,
        "server_cores": round((after.server_s - server_s) / lasted_s, 3),
        "foreign_load": foreign_load(before, after),
        "writes": [f"{name} {count}" for name, count in writes.items()],
    }


def _statements(log: bytes) -> int:
    return sum(line.count(mark) for line in log.splitlines() for mark in STATEMENT)


def _connections(place: Site) -> int:
    row = place.conn.execute(CONNECTIONS, (ROLE, place.database)).fetchone()
    return int(row[0]) if row else 0


SCENARIO = Scenario(
    name="footprint",
    summary="the operator with 1,000 and 10,000 QueueWorkers: memory, CPU, writes, queries",
    cases=cases,
    measure=measure,
    repeats=1,
    with_rivals=False,
)
