"""The operator as a process against a real API server, with the chart's own rights."""

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.support.chart import render
from tests.support.controlplane import ApiServer
from tests.support.ending import end
from tests.support.judge import Judge
from tests.support.waiting import wait_until

START_WITHIN_S = 30.0
STOP_WITHIN_S = 15.0
ACCOUNT_KINDS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A running operator; `log` holds its JSON lines."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def port(self) -> int:
        return int(self.log.read_text().split("operator ready on port ")[1].split(",")[0])

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{"]

    def get(self, path: str) -> tuple[int, str]:
        """GET a path of the operator's own port; give status and text."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def stop(self) -> int:
        """Send SIGTERM and give the exit code."""
        self.process.terminate()
        return self.process.wait(STOP_WITHIN_S)


Start = Callable[[], Operator]


def grant(server: ApiServer, namespace: str, *values: str) -> None:
    """Apply the chart's service account and its roles in `namespace`; `values` are helm's flags."""
    settings = ("--set", "rbac.aggregateRoles=false", *values)
    objects = [
        body
        for body in render("--namespace", namespace, *settings)
        if body["kind"] in ACCOUNT_KINDS
    ]
    server.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(objects))


def kubeconfig_of_account(server: ApiServer, namespace: str, folder: Path) -> Path:
    """Write a kubeconfig of the chart's service account."""
    token = server.kubectl("create", "token", "queueworker", "-n", namespace).strip()
    path = folder / "kubeconfig"
    path.write_text(f"""
apiVersion: v1
kind: Config
current-context: account
clusters: [{{name: c, cluster: {{server: "{server.url}", certificate-authority: {server.certificate}}}}}]
users: [{{name: u, user: {{token: {token}}}}}]
contexts: [{{name: account, context: {{cluster: c, user: u, namespace: {namespace}}}}}]
""")
    return path


def command(*arguments: str) -> list[str]:
    """Give the operator's command line; it runs from this tree."""
    return [sys.executable, "-m", "queueworker_operator", *arguments]


def environment(kubeconfig: Path, **more: str) -> Mapping[str, str]:
    """Give an environment with nothing of the caller's but what a process needs."""
    return {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "KUBECONFIG": str(kubeconfig), **more}


@contextlib.contextmanager
def running_operator(
    judge: Judge,
    kubeconfig: Path,
    log: Path,
    port: int = 0,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Operator]:
    """Run the operator in its kubeconfig's namespace until the block ends; port 0 is any.

    It is asked for a judge, so that nobody forgets to have one.
    """
    assert judge.sizes.is_running, "the judge has gone before the operator came"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command("run", "--port", str(port)),
            stdout=output,
            stderr=output,
            env=dict(environment(kubeconfig, **(environ or {}))),
        )
    operator = Operator(process=process, log=log)
    try:
        wait_until(
            lambda: "operator ready" in log.read_text() or process.poll() is not None,
            within_s=START_WITHIN_S,
            what="the operator is ready",
            every_s=0.05,
        )
        assert process.poll() is None, log.read_text()
        yield operator
    finally:
        end(process, STOP_WITHIN_S)
        assert process.returncode == 0, log.read_text()[-3000:]


def run_to_its_end(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of the operator that is expected to end by itself."""
    return subprocess.run(
        command(*arguments),
        env=dict(environment(kubeconfig)),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
