"""A way from where the tests run to a pod's port."""

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.support.cluster import Cluster
from tests.support.tools import tool_path
from tests.support.waiting import wait_until


class PortForward:
    """Forwards to a port of a workload's pod; begun when asked for, and anew when it has ended."""

    def __init__(self, cluster: Cluster, workload: str, to_port: int) -> None:
        self._target = (*cluster.flags, "port-forward", workload, f":{to_port}")
        self._kubectl: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def port(self) -> int:
        """Give the port of loopback that leads there."""
        if self._kubectl is None or self._kubectl.poll() is not None:
            self._port = wait_until(self._start, within_s=30, what="a port-forward")
        return self._port

    def stop(self) -> None:
        if self._kubectl is not None:
            self._kubectl.terminate()
            self._kubectl.wait()
            self._kubectl = None

    def _start(self) -> int | None:
        """Start kubectl port-forward; it ends itself when the pod stops answering."""
        self.stop()
        command = [str(tool_path("kubectl")), *self._target]
        with tempfile.NamedTemporaryFile() as log:
            self._kubectl = subprocess.Popen(command, stdout=log, stderr=log)
            deadline_s = time.monotonic() + 10
            while time.monotonic() < deadline_s and self._kubectl.poll() is None:
                printed = Path(log.name).read_text()
                if "Forwarding from 127.0.0.1:" in printed:
                    return int(printed.split("127.0.0.1:", 1)[1].split(" ", 1)[0])
                time.sleep(0.05)
        return None
