"""What all scenarios stand on: a control plane with fake nodes, one Postgres, the operator."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.controlplane import ApiServer, run_api_server
from tests.support.ending import end

from benchmarks.errors import ProgramFailed
from benchmarks.judged import judged
from benchmarks.keda.api import NAMESPACE, Api, Body
from benchmarks.keda.resources import secret
from benchmarks.machine import ROOT
from benchmarks.server import SETTINGS, Connection, Server, running_server
from queueworker.schema import migrate

STAGES = Path(__file__).parent / "stages.yaml"
CRD = ROOT / "crds/queueworkers.queueworker.dev.yaml"
STOP_WITHIN_S, START_WITHIN_S = 20.0, 60.0
FAKE_NODES = 3
ENQUEUE = "SELECT queueworker.enqueue_many(%s, 'work', %s::jsonb[])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The servers, and `folder` for what the programs write."""

    cluster: ApiServer
    api: Api
    database: Server
    url: str
    conn: Connection
    folder: Path
    namespace: str = NAMESPACE

    @property
    def kubeconfig(self) -> Path:
        """Give the administrator's credentials."""
        return self.cluster.kubeconfig

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl as the administrator."""
        return self.cluster.kubectl(*arguments)

    def apply(self, objects: Sequence[Body]) -> None:
        """Create objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(listed))

    def enqueue(self, queue: str, lengths_s: Sequence[float]) -> float:
        """Enqueue a job of each length in one transaction; give the time of its commit."""
        jobs = [json.dumps({"seconds": round(seconds, 3)}) for seconds in lengths_s]
        self.conn.execute(ENQUEUE, [queue, jobs])
        return time.time()

    @contextmanager
    def program(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program until the block ends; its output goes to `<name>.log`."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(environment))
        try:
            yield process
        finally:
            end(process, STOP_WITHIN_S)

    def await_log(self, name: str, process: subprocess.Popen[bytes], text: str) -> None:
        """Wait until a program's log has `text`."""
        log = self.folder / f"{name}.log"
        await_true(
            lambda: process.poll() is not None or text in log.read_text(errors="replace"),
            f"{name} says {text!r}",
        )
        if process.poll() is not None:
            raise ProgramFailed(f"{name} ended:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def ground() -> Iterator[Ground]:
    """Run the control plane and the database, migrated, with an empty namespace."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="queueworker-bench-keda-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        settings = {**SETTINGS, "max_connections": "1500", "shared_buffers": "512MB"}
        server = stack.enter_context(running_server(settings))
        database = stack.enter_context(server.fresh_database())
        conn = stack.enter_context(server.connect(database))
        migrate(conn, create_roles=True)
        cluster = stack.enter_context(
            run_api_server(fake_nodes=FAKE_NODES, stages=STAGES, aggregates=True)
        )
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.define(CRD)
        url = server.url(database)
        made = Ground(
            cluster=cluster,
            api=Api(cluster),
            database=server,
            url=url,
            conn=conn,
            folder=folder,
        )
        made.apply([secret(url)])
        yield made


@contextmanager
def running_operator(place: Ground) -> Iterator[subprocess.Popen[bytes]]:
    """Run `queueworker-operator run`, as the administrator, like its rival; judge its changes at the end."""
    command = [sys.executable, "-m", "queueworker_operator", "run", "--port", "0"]
    environment = {
        "PATH": "/usr/bin:/bin",
        "KUBECONFIG": str(place.cluster.kubeconfig),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    flags = ["--namespace", NAMESPACE, "--leader-namespace", NAMESPACE]
    with (
        judged(place, [place.conn]),
        place.program("operator", [*command, *flags], environment) as process,
    ):
        place.await_log("operator", process, "operator ready")
        yield process


def await_true(holds: Callable[[], bool], what: str, within_s: float = START_WITHIN_S) -> None:
    """Ask until it is so."""
    ends_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > ends_s:
            raise ProgramFailed(f"not within {within_s:g} s: {what}")
        time.sleep(0.1)
