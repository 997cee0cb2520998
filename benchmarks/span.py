"""What happened between two moments: CPU of clients and server, WAL, and the foreign load."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.cpu import machine_busy_s, own_cpu_s, trees_cpu_s
from benchmarks.server import Connection, Server

MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The counters at one moment; seconds of CPU, bytes of WAL."""

    at_s: float
    client_s: float
    server_s: float
    ours_s: float
    machine_s: float
    wal_bytes: int


class Meter:
    """Reads all counters; the harness's own connection `conn` is not charged to the server."""

    def __init__(self, server: Server, conn: Connection, clients: Sequence[int] = ()) -> None:
        self._server = server
        self._conn = conn
        self._backend = conn.info.backend_pid
        self.clients = tuple(clients)

    def read(self) -> Reading:
        """Read the counters now."""
        server_s = trees_cpu_s([self._server.pid])
        row = self._conn.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
        return Reading(
            at_s=time.time(),
            client_s=trees_cpu_s(self.clients),
            server_s=server_s - own_cpu_s(self._backend),
            ours_s=trees_cpu_s([os.getpid()]) + server_s,
            machine_s=machine_busy_s(),
            wal_bytes=int(row[0]) if row else 0,
        )


def foreign_load(before: Reading, after: Reading) -> float:
    """Give the share of all cores that other processes used, 0 to 1."""
    cores_s = (after.at_s - before.at_s) * (os.cpu_count() or 1)
    others_s = (after.machine_s - before.machine_s) - (after.ours_s - before.ours_s)
    return round(max(0.0, others_s / cores_s), 3) if cores_s > 0 else 0.0


def per_job(before: Reading, after: Reading, jobs: int) -> dict[str, float]:
    """Give CPU and WAL per job, and the foreign load beside them."""
    return {
        "client_cpu_us": round((after.client_s - before.client_s) / jobs * MICROSECONDS, 2),
        "server_cpu_us": round((after.server_s - before.server_s) / jobs * MICROSECONDS, 2),
        "wal_bytes": round((after.wal_bytes - before.wal_bytes) / jobs, 1),
        "foreign_load": foreign_load(before, after),
    }
