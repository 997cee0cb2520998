"""A server with large backlogs, filled once into a data directory of the cache and kept there."""

import hashlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.environment import cache
from benchmarks.machine import ROOT
from benchmarks.server import Connection, Server, kept_server
from queueworker import embedded
from queueworker.schema import migrate

DATABASE = "bench"
CHUNK = 20_000
DECLARED = ("empty", "ready", "due")
# `crowd` and `shared` have no partition of their own: one holds all rows, the other is measured.
FILLS = {"ready": "NULL", "due": "now() + interval '30 days'", "crowd": "NULL"}
FILL = """
    SELECT count(*) FROM queueworker.enqueue_many('{queue}', 'noop',
      ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, {count}) AS n),
      run_at => {run_at})
"""


# What the workers of a queue do once a second: a backlog is counted while it grows, 20,000 jobs a sweep.
AGE = "UPDATE queueworker.queue SET swept_at = '-infinity' WHERE name = %s"
SWEEP = """
    SELECT count(*) FROM queueworker.queue AS q CROSS JOIN LATERAL queueworker.sweep_queue(
      q.id, ARRAY(SELECT l.id FROM queueworker.lane AS l WHERE l.queue_id = q.id))
    WHERE q.name = %s
"""


def sweep(conn: Connection, queue: str) -> None:
    """Sweep a queue now."""
    conn.execute(AGE, (queue,))
    conn.execute(SWEEP, (queue,))


@contextmanager
def filled_server(size: int) -> Iterator[Server]:
    """Run the server of the backlogs of `size` rows each, filled by this version's migrations."""
    name = f"filled-{size}-{_digest()}"
    path, complete = cache() / name, cache() / f"{name}.complete"
    if not complete.exists():
        _remove_old(size)
        embedded.remove(path)
    with kept_server(path) as server:
        if not complete.exists():
            _fill(server, size)
            complete.touch()
        yield server


def _fill(server: Server, size: int) -> None:
    _say(f"filling 3 x {size:,} rows, once (10 million: about 15 minutes, 10 GB) ...")
    with server.connect("postgres") as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {DATABASE}".encode())
        admin.execute(f"CREATE DATABASE {DATABASE}".encode())
    with server.connect(DATABASE) as conn:
        migrate(conn)
        conn.execute("SET synchronous_commit = off")
        for queue in DECLARED:
            conn.execute("SELECT queueworker.queue_create(%s)", (queue,))
        for queue, run_at in FILLS.items():
            _fill_queue(conn, queue, run_at, size)
        for queue in ("empty", "due", "shared"):
            conn.execute(FILL.format(queue=queue, count=1, run_at="NULL").encode())
        _say("  vacuum ...")
        conn.execute("VACUUM (ANALYZE)")
        conn.execute("CHECKPOINT")


def _fill_queue(conn: Connection, queue: str, run_at: str, size: int) -> None:
    for first in range(0, size, CHUNK):
        if first % (size // 5 // CHUNK * CHUNK or CHUNK) == 0:
            _say(f"  {queue}: {first:,} of {size:,}")
        count = min(CHUNK, size - first)
        conn.execute(FILL.format(queue=queue, count=count, run_at=run_at).encode())
        sweep(conn, queue)
    for _ in range(3):  # a position is decided two sweeps after it was drawn
        sweep(conn, queue)


def _remove_old(size: int) -> None:
    for path in cache().glob(f"filled-{size}-*"):
        if path.suffix == ".complete":
            path.unlink()
        else:
            embedded.remove(path)
            shutil.rmtree(path, ignore_errors=True)


def _digest() -> str:
    folder: Path = ROOT / "worker" / "queueworker" / "schema" / "migrations"
    content = b"".join(path.read_bytes() for path in sorted(folder.glob("*.sql")))
    return hashlib.sha256(content).hexdigest()[:10]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
