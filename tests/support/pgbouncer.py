"""PgBouncer in transaction mode before a server (Debian's 1.18: no prepared statements there)."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until

SETTINGS = """
[databases]
* = host={host} port=5432 user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 500
server_round_robin = 1
query_wait_timeout = 10
logfile = {home}/log
pidfile = {home}/pid
user = nobody
"""


def program() -> str:
    """Give the path of PgBouncer; a test that needs it fails without it."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert found, "PgBouncer is missing: apt-get install pgbouncer, or run: make faults"
    return found


@contextmanager
def running_pgbouncer(dsn: str, pool_size: int = 3, port: int | None = None) -> Iterator[str]:
    """Run one before the server of `dsn`; give the same database's DSN by way of it.

    Server sessions are taken in turn, so that two transactions in a row seldom share one.
    """
    fields = dict(part.split("=", 1) for part in dsn.split())
    home = Path(tempfile.mkdtemp(prefix="qw-pgbouncer-"))
    home.chmod(0o777)
    with socket.create_server(("127.0.0.1", port or 0)) as free:
        port = free.getsockname()[1]
    settings = home / "pgbouncer.ini"
    settings.write_text(
        SETTINGS.format(host=fields["host"], port=port, home=home, pool_size=pool_size)
    )
    process = subprocess.Popen(
        [program(), "-q", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _answers(port), within_s=10, what="PgBouncer listens", every_s=0.02)
        kept = " ".join(f"{key}={value}" for key, value in fields.items() if key != "host")
        yield f"host=127.0.0.1 port={port} {kept}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        shutil.rmtree(home, ignore_errors=True)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        time.sleep(0.02)
        return False
    return True
