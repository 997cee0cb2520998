"""Row 20: the disk of the jobs is full (a small tmpfs: root)."""

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from tests.support.own_server import OwnServer, own_server
from tests.support.worker_process import Bench, WorkerProcess, cpu_s

from queueworker import App, Job
from queueworker.errors import DatabaseUnavailable
from queueworker.schema import migrate

pytestmark = pytest.mark.system
FILL = (
    "DO $$ BEGIN LOOP INSERT INTO filler SELECT repeat('x', 2000) FROM generate_series(1, 100);"
    " COMMIT; END LOOP; END $$"
)


@contextmanager
def small_disk(server: OwnServer) -> Iterator[Path]:
    """Mount 40 MB that the server may write to."""
    assert os.geteuid() == 0, "this test mounts a disk: run make faults as root"
    disk = Path(tempfile.mkdtemp(prefix="qw-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", disk], check=True)
    try:
        owner = server.path.stat().st_uid
        os.chown(disk, owner, owner)
        place = disk / "space"
        place.mkdir(mode=0o700)
        os.chown(place, owner, owner)
        yield place
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
        disk.rmdir()


async def enqueue_until_refused(dsn: str) -> str:
    """Fill what room the pages have left; give the error's words."""
    job = Job(queue="later", task="quick", args={"text": "x" * 500})
    async with App(dsn) as app:
        for _ in range(20_000):
            try:
                await app.enqueue(job)
            except DatabaseUnavailable as exc:
                return str(exc)
    raise AssertionError("never full")


def test_a_full_disk_refuses_with_a_reason_and_work_goes_on_when_there_is_room() -> None:
    with own_server() as server, small_disk(server) as disk:
        server.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        server.execute("CREATE DATABASE jobs TABLESPACE small")
        dsn = server.dsn.replace("dbname=postgres", "dbname=jobs")
        with psycopg.connect(dsn, autocommit=True) as conn:
            migrate(conn)
        with Bench(dsn) as bench, WorkerProcess(dsn) as worker:
            worker.ready()
            bench.conn.execute("CREATE TABLE filler (x text)")
            with pytest.raises(psycopg.errors.DiskFull):
                bench.conn.execute(FILL)
            said = asyncio.run(enqueue_until_refused(dsn))
            lag = "SELECT slots FROM queueworker.queue_lag(ARRAY['mail'])"
            assert bench.one(lag) > 0  # the operator still reads
            before_s = cpu_s(worker)
            time.sleep(3)
            used_s = cpu_s(worker) - before_s
            subprocess.run(["mount", "-o", "remount,size=80m", disk.parent], check=True)
            (after,) = bench.enqueue("quick", priority=9)
            took_s = bench.until_noted(after, "quick")
            assert worker.process.poll() is None
        server.execute("DROP DATABASE jobs WITH (FORCE)", "DROP TABLESPACE small")

    assert "no room" in said
    assert "53100" in said
    assert used_s < 1.0  # no spin
    assert took_s < 5
