"""An operator, workers and databases that the alerts watch, and what provokes each alert."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
from tests.support.controlplane import ApiServer, free_port
from tests.support.fault_proxy import GOOD, FaultProxy, Plan
from tests.support.kept_connection import KeptConnection
from tests.support.mail import Body, Place, deployment, pod, queue_worker, secret
from tests.support.own_server import OwnServer, own_server
from tests.support.postgres import fresh_database
from tests.support.waiting import wait_until
from tests.support.worker_process import Bench, WorkerProcess, run_command

# The first id of a segment of the commit log, which the server then makes by itself.
OLD_ID = 1049 * 1_048_576
FREEZES_NEVER = {"autovacuum_freeze_max_age": "2000000000"}
QUEUES = ("late", "away", "flapping", "dead", "lossy", "stuck", "resting")
WORKERS = ("late", "dead", "lossy", "old")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What is there before anything goes wrong."""

    place: Place
    dsn: str
    bench: Bench
    proxy: FaultProxy
    old: OwnServer
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in WORKERS})
    workers: dict[str, WorkerProcess] = field(default_factory=dict)

    def start_worker(self, queue: str, dsn: str, slots: int) -> None:
        """Start the worker of a queue, in the pod of that queue."""
        where = ("--queue", queue, "--port", str(self.ports[queue]))
        names = {"QUEUEWORKER_POD_NAME": f"{queue}-a", "QUEUEWORKER_POD_NAMESPACE": self.namespace}
        self.workers[queue] = WorkerProcess(dsn, *where, concurrency=slots, environ=names)

    def end_workers(self) -> None:
        for worker in self.workers.values():
            worker.__exit__(None, None, None)

    @property
    def namespace(self) -> str:
        return self.place.namespace

    def fix_replicas(self, name: str, replicas: int) -> None:
        """Say by hand how many pods a QueueWorker has."""
        patch = json.dumps({"spec": {"replicas": replicas}})
        self.place.kubectl("patch", "queueworker", name, "--type=merge", "-p", patch)


@contextmanager
def set_stage(server: str, template: str, api: ApiServer, namespace: str) -> Iterator[Stage]:
    """Put up the databases, the resources and the workers; the operator comes from the caller."""
    place = Place(server=api, namespace=namespace)
    with ExitStack() as stack:
        dsn = stack.enter_context(fresh_database(server, template))
        away = stack.enter_context(fresh_database(server, template))
        parts = dict(part.split("=", 1) for part in away.split())
        proxy = stack.enter_context(FaultProxy(f"{parts['host']}/.s.PGSQL.5432"))
        bench = stack.enter_context(Bench(dsn))
        old = stack.enter_context(own_server(FREEZES_NEVER))
        stage = Stage(place=place, dsn=dsn, bench=bench, proxy=proxy, old=old)
        far = away.replace(parts["host"], f"127.0.0.1 port={proxy.port}")
        place.apply(secret(dsn), secret(far, "away-db"))
        for queue in QUEUES:
            bench.one("SELECT queueworker.ensure_queue(%s)", queue)
            place.apply(*_resources(queue))
        bench.enqueue("pause", "resting", 1)
        assert bench.one("SELECT queueworker.queue_pause('resting', true)")
        for queue in ("late-a", "dead-a", "lossy-a", "stuck-a", "stuck-b"):
            place.add_pod(pod(queue, queue[:-2]))
        stack.callback(stage.end_workers)
        for queue, slots in {"late": 2, "dead": 2, "lossy": 40}.items():
            stage.start_worker(queue, dsn, slots)
        for worker in stage.workers.values():
            worker.ready()
        yield stage


def _resources(queue: str) -> tuple[Body, Body]:
    """Give a Deployment and its QueueWorker; `late` can break its promise, `resting` is paused."""
    pods = {"late": 1, "dead": 1, "lossy": 1, "stuck": 2}.get(queue, 0)
    spec: dict[str, Any] = {
        "scaleTargetRef": {"kind": "Deployment", "name": queue},
        "queues": [queue],
        "database": {"secretRef": {"name": "away-db" if queue == "away" else "mail-db"}},
        "startWithin": "1s" if queue in {"late", "resting"} else "10h",
        "minReplicas": pods,
        "maxReplicas": max(1, pods) if queue == "late" else 5,
    }
    by_hand = {"stuck": {"replicas": 2}, "flapping": {"replicas": 1}}
    return deployment(queue, replicas=pods), queue_worker(queue, **spec, **by_hand.get(queue, {}))


@contextmanager
def jobs_are_late(stage: Stage) -> Iterator[None]:
    """Give two slots work for minutes, promised within a second."""
    stage.bench.enqueue("pause", "late", 4000, seconds=0.1)
    yield
    done = run_command(stage.dsn, "job", "cancel", "--queue", "late", "--task", "pause", "--yes")
    assert done.returncode == 0, done.stderr


@contextmanager
def the_database_is_away(stage: Stage) -> Iterator[None]:
    stage.proxy.plan = Plan(refuses=True)
    stage.proxy.cut_all()
    yield
    stage.proxy.plan = GOOD


@contextmanager
def the_size_goes_up_and_down(stage: Stage) -> Iterator[None]:
    """Go up and down as fast as the operator does: the alert wants one change a second each way."""
    over = threading.Event()

    def has(kept: KeptConnection, replicas: int) -> bool:
        return bool(kept.get("deployments", "flapping")["spec"]["replicas"] == replicas)

    def go() -> None:
        with KeptConnection(stage.place) as kept:
            while not over.is_set():
                for replicas in (4, 1):
                    kept.patch("queueworkers", "flapping", {"spec": {"replicas": replicas}})
                    wanted = partial(has, kept, replicas)
                    wait_until(wanted, within_s=20, what=f"{replicas} replicas", every_s=0.02)

    mover = threading.Thread(target=go, daemon=True)
    mover.start()
    try:
        yield
    finally:
        over.set()
        mover.join(60)


@contextmanager
def jobs_die(stage: Stage) -> Iterator[None]:
    stage.bench.enqueue("fail", "dead", 30)
    yield
    done = run_command(stage.dsn, "dead", "purge", "--queue", "dead", "--yes")
    assert done.returncode == 0, done.stderr


@contextmanager
def a_pod_is_lost(stage: Stage) -> Iterator[None]:
    """Kill a worker in the middle of thirty jobs; its pod goes."""
    jobs = stage.bench.enqueue("sleeper", "lossy", 30, seconds=600)
    running = "SELECT count(*) = 30 FROM queueworker.jobs WHERE id = ANY (%s) AND state = 'running'"
    stage.bench.until(running, jobs)
    stage.workers["lossy"].signal(signal.SIGKILL)
    stage.place.kubectl("delete", "pod", "lossy-a", "--now")
    yield


@contextmanager
def nobody_can_be_drained(stage: Stage) -> Iterator[None]:
    """Ask for one pod less where no pod has a worker that could be asked to drain."""
    stage.fix_replicas("stuck", 1)
    yield
    stage.fix_replicas("stuck", 2)


@contextmanager
def a_transaction_stays_open(stage: Stage) -> Iterator[None]:
    with psycopg.connect(stage.dsn) as conn:
        conn.execute("SELECT pg_current_xact_id()")
        yield
        conn.rollback()


@contextmanager
def transaction_ids_are_old(stage: Stage) -> Iterator[None]:
    """Let a server believe that a billion transactions have gone since its tables were frozen."""
    stage.old.stop()
    stage.old.reset_next_id(OLD_ID)
    stage.old.start()
    stage.start_worker("old", stage.old.dsn, 1)
    stage.workers["old"].ready()
    yield
    stage.old.execute("VACUUM (FREEZE)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What goes wrong for the length of a block, and which alerts of which queue it provokes."""

    provoke: Callable[[Stage], AbstractContextManager[None]]
    queue: str
    alerts: tuple[str, ...]


CAUSES = (
    Cause(provoke=a_transaction_stays_open, queue="", alerts=("TransactionTooOld",)),
    Cause(provoke=the_database_is_away, queue="away", alerts=("MetricsStale",)),
    Cause(
        provoke=jobs_are_late,
        queue="late",
        alerts=("LagSloBurnFast", "LagSloBurnSlow", "OldestJobTooOld", "AtMaxReplicas"),
    ),
    Cause(provoke=the_size_goes_up_and_down, queue="flapping", alerts=("Flapping",)),
    Cause(provoke=jobs_die, queue="dead", alerts=("DeadJobsGrowing",)),
    Cause(provoke=a_pod_is_lost, queue="lossy", alerts=("LeaseLossHigh",)),
    Cause(provoke=nobody_can_be_drained, queue="stuck", alerts=("DrainTimeouts",)),
    Cause(provoke=transaction_ids_are_old, queue="", alerts=("TransactionIdsRunOut",)),
)
