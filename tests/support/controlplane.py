"""A real API server for tests: etcd and kube-apiserver on loopback, as an ordinary user.

No cluster, no namespaces, no certificates but the API server's own. Root drops to `nobody`.
"""

import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.ending import end
from tests.support.tools import ROOT, tool_path

TOKEN = "token-of-the-test-administrator"
AUDIT_POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""
STAGES = ROOT / "tests/kubernetes/stages.yaml"
START_WITHIN_S = 60.0
STOP_WITHIN_S = 15.0


class ControlPlaneFailed(Exception):
    """The API server did not come up; the message names the logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """A running API server and the administrator's way to it."""

    url: str
    kubeconfig: Path
    certificate: Path
    token: str

    @property
    def audit_log(self) -> Path:
        """Where an audited server writes each request (see tests.support.audit)."""
        return self.kubeconfig.with_name("audit.log")

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl as the administrator and give what it prints.

        Raises:
            subprocess.CalledProcessError: kubectl failed; its message is in `stderr`.
        """
        return subprocess.run(
            [tool_path("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    def define(self, definition: Path) -> None:
        """Install a resource definition, or bring it up to date, and wait until it is served."""
        self.kubectl("apply", "--server-side", "-f", definition)
        self.kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", definition)


class Programs:
    """Programs with a folder for what they write, run as an ordinary user and ended together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self._commands: list[tuple[str, tuple[str, ...]]] = []

    def start(self, name: str, *flags: str) -> None:
        """Start a program; its output goes to `<name>.log`."""
        program = tool_path(name)
        user = None
        if os.geteuid() == 0:
            user = "nobody"
            program = Path(shutil.copy(program, self.folder))  # the cache may be closed to it
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, user)
        with (self.folder / f"{name}.log").open("wb") as log:
            started = subprocess.Popen(
                [program, *flags],
                stdout=log,
                stderr=log,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
                cwd=self.folder,
                start_new_session=True,
            )
        self._started.append(started)
        self._commands.append((name, flags))

    def check(self, deadline_s: float) -> None:
        """Raise ControlPlaneFailed when a program has ended or the time is over."""
        ended = [program.args for program in self._started if program.poll() is not None]
        if ended or time.monotonic() > deadline_s:
            logs = "\n".join(log.read_text()[-1500:] for log in self.folder.glob("*.log"))
            raise ControlPlaneFailed(f"not up (ended: {ended}):\n{logs}")

    def restart(self, meanwhile: Callable[[], None]) -> None:
        """End all, do something `meanwhile`, and start all as they were."""
        self.stop()
        commands = self._commands.copy()
        self._started.clear()
        self._commands.clear()
        meanwhile()
        for name, flags in commands:
            self.start(name, *flags)

    def stop(self) -> None:
        """End all, the last one first: an API server without its etcd hangs."""
        for program in reversed(self._started):
            end(program, STOP_WITHIN_S)


@contextlib.contextmanager
def run_api_server(
    *,
    fake_nodes: int = 0,
    stages: Path = STAGES,
    aggregates: bool = False,
    audited: bool = False,
) -> Iterator[ApiServer]:
    """Run an API server until the context ends; 3 s to start, 1 s to stop.

    With `fake_nodes` there are controllers, a scheduler and nodes whose pods only pretend to run,
    as `stages` says. With `aggregates` it passes requests on to other API servers; with `audited` it
    keeps a log of them.

    Raises:
        ControlPlaneFailed: it did not answer in time.
    """
    with _programs() as programs:
        more_flags = _aggregation_flags(programs.folder) if aggregates else []
        more_flags += _audit_flags(programs.folder) if audited else []
        server = _start(programs, more_flags)
        if fake_nodes:
            _start_fake_nodes(programs, server, fake_nodes, stages)
        yield server


@dataclass(frozen=True, slots=True, kw_only=True)
class Restorable:
    """An API server whose store can be saved, and put back as it was."""

    server: ApiServer
    programs: Programs

    def save(self) -> None:
        """Save the store."""
        self._restart_with("etcd-store", "etcd-saved")

    def restore(self) -> None:
        """Put the store back: also the versions of objects begin anew from there."""
        self._restart_with("etcd-saved", "etcd-store")

    def _restart_with(self, source: str, copy: str) -> None:
        folder = self.programs.folder

        def replace() -> None:
            shutil.rmtree(folder / copy, ignore_errors=True)
            subprocess.run(["cp", "-a", folder / source, folder / copy], check=True)

        self.programs.restart(replace)
        _wait_for(self.server, self.programs, "get", "--raw", "/readyz")


@contextlib.contextmanager
def run_restorable() -> Iterator[Restorable]:
    """Run an API server whose store can be put back.

    Raises:
        ControlPlaneFailed: it did not answer in time.
    """
    with _programs() as programs:
        yield Restorable(server=_start(programs, []), programs=programs)


@contextlib.contextmanager
def _programs() -> Iterator[Programs]:
    programs = Programs(Path(tempfile.mkdtemp(prefix="queueworker-api-")))
    try:
        yield programs
    finally:
        programs.stop()
        shutil.rmtree(programs.folder)


def _start(programs: Programs, more_flags: list[str]) -> ApiServer:
    folder = programs.folder
    etcd_url, peer_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    api_port = free_port()
    server = ApiServer(
        url=f"https://127.0.0.1:{api_port}",
        kubeconfig=folder / "kubeconfig",
        certificate=folder / "certificates/apiserver.crt",
        token=TOKEN,
    )
    _write_credentials(folder, server)
    programs.start("etcd", *_etcd_flags(folder, etcd_url, peer_url))
    programs.start("kube-apiserver", *_api_flags(folder, etcd_url, api_port), *more_flags)
    _wait_for(server, programs, "get", "--raw", "/readyz")
    return server


def _start_fake_nodes(programs: Programs, server: ApiServer, count: int, stages: Path) -> None:
    common = [f"--kubeconfig={server.kubeconfig}", "--leader-elect=false", "--secure-port=0"]
    fast = ["--kube-api-qps=200", "--kube-api-burst=400"]
    programs.start("kube-controller-manager", *common, *fast, "--controllers=*,-nodeipam")
    programs.start("kube-scheduler", *common, *fast)
    programs.start(
        "kwok",
        f"--kubeconfig={server.kubeconfig}",
        f"--config={Path(shutil.copy(stages, programs.folder))}",
        "--manage-all-nodes=true",
        "--cidr=10.245.0.0/16",
        "--server-address=",
        "--node-lease-duration-seconds=40",
    )
    names = [f"fake-{number}" for number in range(count)]
    nodes = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"fake": "yes"}}}
        for name in names
    ]
    listed = {"apiVersion": "v1", "kind": "List", "items": nodes}
    server.kubectl("create", "-f", "-", stdin=json.dumps(listed))
    ready = ["--for=condition=Ready", "--timeout=1s"]
    _wait_for(server, programs, "wait", *ready, *(f"node/{name}" for name in names))


def _write_credentials(folder: Path, server: ApiServer) -> None:
    (folder / "tokens.csv").write_text(f'{server.token},admin,admin,"system:masters"\n')
    server.kubeconfig.write_text(f"""
apiVersion: v1
kind: Config
current-context: test
clusters: [{{name: test, cluster: {{server: "{server.url}", certificate-authority: {server.certificate}}}}}]
users: [{{name: admin, user: {{token: {server.token}}}}}]
contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]
""")
    new_key = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]
    subprocess.run([*new_key, folder / "accounts.key"], check=True)


def _etcd_flags(folder: Path, url: str, peer_url: str) -> list[str]:
    return [
        f"--data-dir={folder}/etcd-store",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _api_flags(folder: Path, etcd_url: str, port: int) -> list[str]:
    return [
        f"--etcd-servers={etcd_url}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder}/certificates",
        f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder}/accounts.key",
        f"--service-account-signing-key-file={folder}/accounts.key",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",  # it refuses a loopback address
        "--disable-admission-plugins=ServiceAccount",  # nothing here creates the default accounts
    ]


def _audit_flags(folder: Path) -> list[str]:
    policy = folder / "audit-policy.yaml"
    policy.write_text(AUDIT_POLICY)
    return [f"--audit-policy-file={policy}", f"--audit-log-path={folder}/audit.log"]


def _aggregation_flags(folder: Path) -> list[str]:
    """Make the certificate by which the API server names itself to other API servers."""
    certificate, key = folder / "front-proxy.crt", folder / "front-proxy.key"
    subject = ["-subj", "/CN=front-proxy", "-days", "2", "-nodes"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject]
    subprocess.run(
        [*made, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60
    )
    return [
        f"--requestheader-client-ca-file={certificate}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={certificate}",
        f"--proxy-client-key-file={key}",
    ]


def _wait_for(server: ApiServer, programs: Programs, *question: str) -> None:
    """Ask by kubectl until it succeeds."""
    deadline_s = time.monotonic() + START_WITHIN_S
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            server.kubectl(*question)
            return
        programs.check(deadline_s)
        time.sleep(0.05)


def free_port() -> int:
    """Give a port of loopback that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
