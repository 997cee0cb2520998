"""A reader's shell in the checkout, whose kubectl and helm know a cluster."""

import os
import subprocess
from pathlib import Path

from tests.support.controlplane import ApiServer
from tests.support.helm import helm_path
from tests.support.pages import ROOT
from tests.support.tools import tool_path

WITHIN_S = 60.0


class ClusterShell:
    """Types commands in a folder; its programs, and what helm keeps, are in another."""

    def __init__(self, server: ApiServer, programs: Path, cwd: Path) -> None:
        for name, program in (("kubectl", tool_path("kubectl")), ("helm", helm_path())):
            (programs / name).symlink_to(program)
        self._cwd = cwd
        self.environment = os.environ | {
            "PATH": f"{programs}:{ROOT / '.venv/bin'}:{os.environ['PATH']}",
            "KUBECONFIG": str(server.kubeconfig),
            "HELM_CACHE_HOME": str(programs / "cache"),
            "HELM_CONFIG_HOME": str(programs / "config"),
            "HELM_DATA_HOME": str(programs / "data"),
        }

    def type(self, text: str) -> str:
        """Run commands, which must succeed; give what they print."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self._cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout
