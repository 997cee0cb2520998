"""The Postgres that all systems are measured on: embedded, durable, tuned the same for all."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from queueworker import embedded
from queueworker.cluster import Cluster

# Durable, and without a checkpoint inside a measurement: after one, the first write to each page
# puts the whole page into the WAL.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "2GB",
    "effective_cache_size": "8GB",
    "max_wal_size": "32GB",
    "checkpoint_timeout": "1h",
    "autovacuum_naptime": "10s",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "max_connections": "200",
}
_numbers = itertools.count(1)

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server; `pid` is its postmaster."""

    path: Path
    pid: int

    def url(self, database: str) -> str:
        """Give the address of a database in the form that all drivers read."""
        host = Cluster.at(self.path).socket_directory
        return f"postgresql://postgres@/{database}?host={host}"

    def connect(self, database: str) -> Connection:
        """Connect, without transactions of its own."""
        return psycopg.connect(self.url(database), autocommit=True, application_name="benchmarks")

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """Make an empty database for the length of a block; give its name."""
        name = f"bench_{os.getpid()}_{next(_numbers)}"
        with self.connect("postgres") as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield name
        finally:
            with self.connect("postgres") as admin:
                drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
                admin.execute(drop.format(sql.Identifier(name)))


@contextmanager
def running_server(settings: Mapping[str, str] = SETTINGS) -> Iterator[Server]:
    """Run a server in a new directory, removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="queueworker-bench-"))
    path.chmod(0o755)
    try:
        with kept_server(path / "db", settings) as server:
            yield server
    finally:
        embedded.remove(path / "db")
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def kept_server(path: Path, settings: Mapping[str, str] = SETTINGS) -> Iterator[Server]:
    """Run the server of `path`; its data stay."""
    embedded.start(path, settings)
    try:
        pid = int(Cluster.at(path).pid_file.read_text().split("\n", 1)[0])
        yield Server(path=path, pid=pid)
    finally:
        embedded.stop(path)


def server_version(server: Server) -> str:
    """Give the version of Postgres."""
    with server.connect("postgres") as conn:
        row = conn.execute("SHOW server_version").fetchone()
    return str(row[0]) if row else ""
