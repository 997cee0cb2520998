#!/usr/bin/env python3
"""Measure what retention costs: drains of one connection, both kinds of queue in turn.

hack/measure_retention.py [--jobs N] [--rounds N] [--batch N]
"""

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import psycopg

from queueworker import embedded
from queueworker.dsn import Dsn
from queueworker.job import Transition, TransitionKind
from queueworker.schema import migrate
from queueworker.store import ClaimRequest, QueueRow, Retention, Store, WorkerRow, connect

WEEK_S = 7 * 86_400.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ENQUEUE = """
    SELECT count(queueworker.enqueue(%s, 'noop', '{"to": "ann@example.org"}'))
    FROM generate_series(1, %s)
"""
Reading = tuple[float, float, float]


def main(arguments: argparse.Namespace) -> None:
    """Print a table of medians."""
    path = Path(tempfile.mkdtemp(prefix="qw-measure-"))
    path.chmod(0o755)
    try:
        dsn = embedded.start(path / "db")
        with psycopg.connect(dsn, autocommit=True) as conn:
            migrate(conn)
        asyncio.run(measure(dsn, arguments))
    finally:
        embedded.remove(path / "db")
        shutil.rmtree(path, ignore_errors=True)


async def measure(dsn: str, arguments: argparse.Namespace) -> None:
    """Drain a plain and a retained queue in turn."""
    conn = await connect(Dsn.parse(dsn), application_name="measure")
    store = Store(conn)
    for name in ("plain", "retained"):
        await store.queue_create(name)
    await store.queue_retain("retained", Retention(finished_s=WEEK_S))
    queues = [await store.queue(name) for name in ("plain", "retained")]
    worker = WorkerRow(
        id=uuid.uuid4(),
        pod="pod",
        namespace="",
        node="",
        version="0",
        queues=("plain", "retained"),
        tasks=("noop",),
        slots=1,
        ttl_s=3600,
    )
    await store.register(worker)
    readings: dict[str, list[Reading]] = {"plain": [], "retained": []}
    for number in range(arguments.rounds):
        for queue in queues if number % 2 else reversed(queues):
            reading = await drain(conn, store, queue, worker.id, arguments)
            readings[queue.name].append(reading)
    await conn.close()
    report(readings)


async def drain(
    conn: psycopg.AsyncConnection,
    store: Store,
    queue: QueueRow,
    worker_id: uuid.UUID,
    arguments: argparse.Namespace,
) -> Reading:
    """Enqueue, then claim and complete all; give us, server CPU us and WAL bytes a job."""
    await conn.execute(ENQUEUE, (queue.name, arguments.jobs))
    await conn.execute("CHECKPOINT")
    lanes = await store.lanes(queue.id, ["noop"])
    hints = [lane.floor for lane in lanes]
    server = conn.info.backend_pid
    began_s, began_cpu_s, began_wal = time.monotonic(), cpu_s(server), await wal(conn)
    left = arguments.jobs
    while left:
        request = ClaimRequest(
            queue=queue, worker_id=worker_id, limit=arguments.batch, lanes=lanes, hints=hints
        )
        jobs = await store.claim(request)
        hints = [max(job.pos for job in jobs)]
        done = [Transition(job_id=j.id, token=j.token, kind=TransitionKind.SUCCEED) for j in jobs]
        await store.complete(queue, done)
        left -= len(jobs)
    million = 1e6 / arguments.jobs
    return (
        (time.monotonic() - began_s) * million,
        (cpu_s(server) - began_cpu_s) * million,
        (await wal(conn) - began_wal) / arguments.jobs,
    )


async def wal(conn: psycopg.AsyncConnection) -> int:
    """Give the position in the log."""
    row = await (await conn.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")).fetchone()
    return int(row[0]) if row else 0


def cpu_s(pid: int) -> float:
    """Give the CPU time of a server process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def report(readings: dict[str, list[Reading]]) -> None:
    """Print medians and ratios."""

    def medians(rows: Sequence[Reading]) -> list[float]:
        return [statistics.median(column) for column in zip(*rows, strict=True)]

    plain, retained = medians(readings["plain"]), medians(readings["retained"])
    print("| a job | plain | retained | ratio |\n|---|---|---|---|")  # noqa: T201
    for what, one, other in zip(
        ("time, µs", "server CPU, µs", "WAL, B"), plain, retained, strict=True
    ):
        print(f"| {what} | {one:.1f} | {other:.1f} | {other / one:.2f} |")  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--batch", type=int, default=500)
    main(parser.parse_args())
