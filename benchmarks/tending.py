"""What the workers of many queues do in the database once a second, by a process of its own."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Event

import psycopg

from benchmarks.cpu import own_cpu_s
from benchmarks.server import Server

EVERY_S, ROUNDS_BEFORE, WITHIN_S = 1.0, 4, 120.0
LANES = """
    SELECT q.id, ARRAY(SELECT l.id FROM queueworker.lane AS l WHERE l.queue_id = q.id)
    FROM queueworker.queue AS q WHERE q.name = ANY (%s)
"""
SWEEP = "SELECT * FROM queueworker.sweep_queue(%s::int, %s::int[])"


@dataclass(slots=True, kw_only=True)
class Tender:
    """What tending took of the server, known when the block is over."""

    cpu_ms_per_s: float = 0.0
    sweeps_per_s: float = 0.0


@contextmanager
def tended(server: Server, database: str, queues: Sequence[str]) -> Iterator[Tender]:
    """Sweep every queue once a second; the block begins when the first rounds are over."""
    context = multiprocessing.get_context("spawn")
    tender, stop, (ours, theirs) = Tender(), context.Event(), context.Pipe()
    arguments = (server.url(database), list(queues), stop, theirs)
    process = context.Process(target=_tend, args=arguments, daemon=True)
    process.start()
    theirs.close()
    try:
        backend_pid, swept_before = _hear(ours)
        began_s, cpu_before_s = time.monotonic(), own_cpu_s(backend_pid)
        yield tender
        took_s = time.monotonic() - began_s
        tender.cpu_ms_per_s = 1000 * (own_cpu_s(backend_pid) - cpu_before_s) / took_s
        stop.set()
        tender.sweeps_per_s = (_hear(ours)[1] - swept_before) / took_s
    finally:
        stop.set()
        process.join()


def _hear(pipe: Pipe) -> tuple[int, int]:
    """Give the pid of the tender's session and how often it has swept."""
    try:
        if pipe.poll(WITHIN_S):
            backend_pid, sweeps = pipe.recv()
            return backend_pid, sweeps
    except EOFError:
        pass
    raise RuntimeError(f"the queues were not swept within {WITHIN_S:g} s")


def _tend(url: str, queues: list[str], stop: Event, pipe: Pipe) -> None:
    sweeps = rounds = 0
    with psycopg.connect(url, autocommit=True) as conn:
        lanes = conn.execute(LANES, (queues,)).fetchall()
        while not stop.is_set():
            began_s = time.monotonic()
            for place, row in enumerate(lanes):
                conn.execute(SWEEP, row, prepare=True)
                sweeps += 1
                # Workers are not in step: theirs are spread over the second.
                due_s = began_s + EVERY_S * (place + 1) / len(lanes)
                if stop.wait(max(0.0, due_s - time.monotonic())):
                    break
            rounds += 1
            if rounds == ROUNDS_BEFORE:
                pipe.send((conn.info.backend_pid, sweeps))
        pipe.send((conn.info.backend_pid, sweeps))
