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
SETTLE_S, SETTLE_PER_WORKER_S, QUIET_WRITES, SECONDS = 10.0, 0.15, 20, 60.0
LONGEST_SETTLE_S = 150.0  # 10,000 first statuses, ten a second, take longer
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
        operator = stack.enter_context(running_operator(cluster))
        _settle(cluster, min(LONGEST_SETTLE_S, size * SETTLE_PER_WORKER_S))
        return _measured(cluster, places, operator, options.duration_s or SECONDS)


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


def _settle(cluster: Cluster, within_s: float) -> None:
    """Wait until every new QueueWorker has its first status, or for long enough."""
    ends_s, before = time.monotonic() + within_s, -1
    while time.monotonic() < ends_s:
        time.sleep(SETTLE_S)
        now = sum(cluster.writes().values())
        if before > 0 and now - before < QUIET_WRITES:
            return
        before = now


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
