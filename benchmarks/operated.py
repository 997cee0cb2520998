"""The operator as a process, against a real API server and real databases."""

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ending import end

from benchmarks.cluster import NAMESPACE, Cluster
from benchmarks.errors import ProgramFailed
from benchmarks.machine import ROOT

READY_WITHIN_S, STOP_WITHIN_S = 120.0, 30.0
READY = "operator ready on port "


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A running operator; `log` holds what it says."""

    pid: int
    log: Path

    def metric(self, name: str) -> float:
        """Add up all samples of one metric."""
        port = self.log.read_text().split(READY)[1].split(",")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        wanted = (f"{name} ", f"{name}{{")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(wanted))


@contextmanager
def running_operator(cluster: Cluster) -> Iterator[Operator]:
    """Run the operator in the benchmark's namespace until the block ends."""
    command = [sys.executable, "-m", "queueworker_operator", "run", "--port", "0"]
    with tempfile.TemporaryDirectory(prefix="queueworker-bench-operator-") as folder:
        log = Path(folder) / "operator.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--namespace", NAMESPACE, "--leader-namespace", NAMESPACE],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "KUBECONFIG": str(cluster.server.kubeconfig)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            _await_ready(process, log)
            yield Operator(pid=process.pid, log=log)
        finally:
            end(process, STOP_WITHIN_S)


def _await_ready(process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends_s = time.monotonic() + READY_WITHIN_S
    while READY not in (text := log.read_text()):
        if process.poll() is not None or time.monotonic() > ends_s:
            raise ProgramFailed(f"the operator did not become ready:\n{text[-1000:]}")
        time.sleep(0.1)
