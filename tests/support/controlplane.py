"""A real API server for tests: etcd and kube-apiserver on loopback, as an ordinary user.

No cluster, no namespaces, no certificates but the API server's own. Root drops to `nobody`.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.tools import tool_path

TOKEN = "token-of-the-test-administrator"
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


@contextlib.contextmanager
def run_api_server() -> Iterator[ApiServer]:
    """Run an API server until the context ends; 3 s to start, 1 s to stop.

    Raises:
        ControlPlaneFailed: it did not answer in time.
    """
    folder = Path(tempfile.mkdtemp(prefix="queueworker-api-"))
    programs: list[subprocess.Popen[bytes]] = []
    try:
        yield _start(folder, programs)
    finally:
        for program in reversed(programs):  # API server before etcd: otherwise it hangs
            _stop(program)
        shutil.rmtree(folder)


def _start(folder: Path, programs: list[subprocess.Popen[bytes]]) -> ApiServer:
    etcd_url, peer_url = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
    api_port = _free_port()
    server = ApiServer(
        url=f"https://127.0.0.1:{api_port}",
        kubeconfig=folder / "kubeconfig",
        certificate=folder / "certificates/apiserver.crt",
        token=TOKEN,
    )
    _write_credentials(folder, server)
    programs.append(_spawn(folder, "etcd", *_etcd_flags(folder, etcd_url, peer_url)))
    programs.append(_spawn(folder, "kube-apiserver", *_api_flags(folder, etcd_url, api_port)))
    _wait_until_ready(server, programs, folder)
    return server


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


def _spawn(folder: Path, name: str, *flags: str) -> subprocess.Popen[bytes]:
    program = tool_path(name)
    user = None
    if os.geteuid() == 0:
        user = "nobody"
        program = Path(shutil.copy(program, folder))  # the cache may lie in a home closed to it
        _give_to(user, folder)
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [program, *flags],
            stdout=log,
            stderr=log,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            cwd=folder,
            start_new_session=True,
        )


def _give_to(user: str, folder: Path) -> None:
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, user)


def _wait_until_ready(
    server: ApiServer, programs: list[subprocess.Popen[bytes]], folder: Path
) -> None:
    deadline_s = time.monotonic() + START_WITHIN_S
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            server.kubectl("get", "--raw", "/readyz")
            return
        exited = [program.args for program in programs if program.poll() is not None]
        if exited or time.monotonic() > deadline_s:
            logs = "\n".join(log.read_text()[-1500:] for log in folder.glob("*.log"))
            raise ControlPlaneFailed(f"no API server (exited: {exited}):\n{logs}")
        time.sleep(0.05)


def _stop(program: subprocess.Popen[bytes]) -> None:
    program.terminate()
    try:
        program.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
