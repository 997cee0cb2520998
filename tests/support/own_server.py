"""Servers that a test may break: stop hard, restart, fail over to a standby."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
from tests.support import postgres
from tests.support.waiting import wait_until

from queueworker import embedded
from queueworker.cluster import Cluster
from queueworker.schema import migrate

FAST_STOP, IMMEDIATE_STOP = signal.SIGINT, signal.SIGQUIT
# fsync is off for speed: these servers crash, the machine below them does not.
SETTINGS = {**postgres.FAST, "max_connections": "60", "wal_level": "replica"}


class OwnServer:
    """One server of a test's own, migrated unless it is a standby."""

    def __init__(self, path: Path, settings: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._settings = {**SETTINGS, **(settings or {})}
        self._cluster = Cluster.at(path)

    @property
    def host(self) -> str:
        return str(self._cluster.socket_directory)

    @property
    def dsn(self) -> str:
        return postgres.with_database(self._cluster.dsn(), "postgres")

    @property
    def socket(self) -> str:
        return f"{self.host}/.s.PGSQL.5432"

    @property
    def pid(self) -> int:
        return int(self._cluster.pid_file.read_text().split("\n", 1)[0])

    def start(self) -> Self:
        embedded.start(self.path, self._settings, _binaries())
        return self

    def migrate(self) -> Self:
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            migrate(conn, create_roles=True)
        return self

    def stop(self, how: signal.Signals = FAST_STOP) -> None:
        """Stop it: `FAST_STOP` ends the sessions, `IMMEDIATE_STOP` is a crash of all processes."""
        pid = self.pid
        os.kill(pid, how)
        wait_until(
            lambda: not self._cluster.pid_file.exists() or not _lives(pid),
            within_s=30,
            what="the server stops",
            every_s=0.02,
        )

    def execute(self, *statements: str) -> Any:
        """Run statements as the superuser; give the first value of the last one."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            row = None
            for statement in statements:
                cursor = conn.execute(statement.encode())
                row = cursor.fetchone() if cursor.description else None
        return None if row is None else row[0]

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running server, for living sessions too."""
        self.execute(f"ALTER SYSTEM SET {name} = '{value}'", "SELECT pg_reload_conf()")

    def reset_next_id(self, transaction_id: int) -> None:
        """Let the stopped server go on with this transaction id."""
        data = str(self._cluster.data_directory)
        arguments = ["-x", str(transaction_id), "-D", data]
        status = embedded._run(self._cluster, _binaries() / "pg_resetwal", *arguments)
        assert status == 0, (self._cluster.home / "setup.log").read_text()

    def copy_to(self, path: Path) -> "OwnServer":
        """Make a streaming standby of this server; it is not started."""
        other = OwnServer(path, self._settings)
        for directory in (
            other._cluster.path,
            other._cluster.home,
            other._cluster.socket_directory,
        ):
            embedded._make_directory(directory, other._cluster)
        arguments = ["-h", self.host, "-U", "postgres", "-R", "-c", "fast", "--no-sync"]
        data = str(other._cluster.data_directory)
        status = embedded._run(
            other._cluster, _binaries() / "pg_basebackup", "-D", data, *arguments
        )
        assert status == 0, (other._cluster.home / "setup.log").read_text()
        return other

    def promote(self) -> None:
        """Make a standby the primary, and wait until it is."""
        assert self.execute("SELECT pg_promote(true, 30)")

    def remove(self) -> None:
        if self._cluster.pid_file.exists() and _lives(self.pid):
            os.kill(self.pid, signal.SIGCONT)
            self.stop(IMMEDIATE_STOP)
        embedded.remove(self.path)


def _binaries() -> Path:
    return Path(postgres.BINARIES) if postgres.BINARIES else embedded._binaries()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def own_server(settings: Mapping[str, str] | None = None) -> Iterator[OwnServer]:
    """Run a migrated server in a new directory."""
    with _directory() as path:
        server = OwnServer(path / "one", settings)
        try:
            yield server.start().migrate()
        finally:
            server.remove()


@contextmanager
def primary_and_standby() -> Iterator[tuple[OwnServer, OwnServer]]:
    """Run a primary and a standby that each commit of the primary waits for."""
    with own_server() as primary, _directory() as path:
        standby = primary.copy_to(path / "two")
        try:
            standby.start()
            wait_until(
                lambda: primary.execute("SELECT count(*) FROM pg_stat_replication"),
                within_s=30,
                what="the standby follows",
                every_s=0.05,
            )
            primary.set("synchronous_standby_names", "*")
            yield primary, standby
        finally:
            standby.remove()


def both(primary: OwnServer, standby: OwnServer) -> str:
    """Give the DSN that names both servers."""
    return primary.dsn.replace(f"host={primary.host}", f"host={primary.host},{standby.host}")


@contextmanager
def _directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="qw-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
