"""Lag reads: 1,000 queues at once, one of 10 million, and how right the count is under churn."""

import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from benchmarks.cpu import own_cpu_s
from benchmarks.figures import percentile, waits_ms
from benchmarks.filled import DATABASE, filled_server
from benchmarks.machine import ROOT
from benchmarks.running import Site, await_first_job, site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.scenarios.flat import SIZE
from benchmarks.server import Connection, Server
from benchmarks.span import Meter, foreign_load
from benchmarks.systems import System
from benchmarks.tending import tended

READS, LEAST_READS, READ_FOR_S, PAUSE_S = 300, 20, 20.0, 0.05
QUEUES, ACTIVE, SHORT_BACKLOG, WORKERS = 1_000, (20, 100), 1_500, 50
SECONDS, BACKLOG, RATE_PER_S, NAP_S, EVERY_S = 30.0, 20_000, 1_000.0, 0.08, 0.2
BATCH, ROLLBACK_SHARE = 50, 0.2
# The operator's statement: the columns that it reads, and buckets of due jobs only where there are any.
LAG = ROOT / "operator" / "queueworker_operator" / "lag" / "queries" / "queue_lag.sql"
# One snapshot for both. What a worker has claimed and not started yet is ready to the reader.
TOLD_AND_EXACT = """
    SELECT lag.ready, (SELECT count(*) FROM queueworker.job WHERE token = 0 AND pos IS NOT NULL)
      + (SELECT coalesce(sum(held), 0) FROM queueworker.live_workers('bench'))
    FROM queueworker.queue_lag(ARRAY['bench']) AS lag
"""
ENQUEUE_ONE = "SELECT queueworker.enqueue(%s, 'noop', '{\"n\": 1}')"
ENQUEUE_SOME = """
    SELECT count(*) FROM queueworker.enqueue_many(%s, 'noop', ARRAY(
      SELECT jsonb_build_object('n', n) FROM generate_series(1, %s) AS n))
"""
REGISTER = """
    SELECT queueworker.register_worker(
      gen_random_uuid(), 'pod', 'default', 'node', '1', %s, ARRAY['noop'], 10, 3600)
"""
ENQUEUE = """
    SELECT count(*) FROM queueworker.enqueue_many('bench', 'tracked', ARRAY(
      SELECT jsonb_build_object('at', 0, 'nap_s', %s::float8) FROM generate_series(1, %s)))
"""


class _RollBack(Exception):
    """Ends a transaction without its effect."""


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give the questions: many queues at once, one long backlog, and how right the count is."""
    size = options.size or SIZE
    variants = (
        *(f"{QUEUES:,} queues, {active} active" for active in ACTIVE),
        f"one of {size:,}, at rest",
        f"one of {size:,}, a job between reads",
        "accuracy under churn",
    )
    return [Case(system=system, variant=variant) for variant in variants for system in systems]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Ask as the operator does, beside sweeps at their pace."""
    seconds = options.duration_s or READ_FOR_S
    if case.variant.startswith("one of"):
        with filled_server(options.size or SIZE) as filled, filled.connect(DATABASE) as conn:
            moving = [] if case.variant.endswith("rest") else ["ready"]
            return _reads(filled, conn, ["ready"], moving, seconds)
    with site(server, case.system) as place:
        if case.variant.endswith("active"):
            names = [f"queue-{number:04}" for number in range(QUEUES)]
            active = int(case.variant.split()[-2])
            _fill(place.conn, names, active)
            return _reads(server, place.conn, names, names[:active], seconds)
        return _accuracy(place, options.duration_s or SECONDS)


def _fill(conn: Connection, names: list[str], active: int) -> None:
    """Let each queue have had a job, and the active ones a short backlog; register workers."""
    for name in names:
        conn.execute(ENQUEUE_ONE, (name,))
    conn.execute("DELETE FROM queueworker.job")
    for name in names[:active]:
        conn.execute(ENQUEUE_SOME, (name, SHORT_BACKLOG))
    share = len(names) // WORKERS
    for number in range(WORKERS):
        conn.execute(REGISTER, (names[number * share : (number + 1) * share],))
    conn.execute("VACUUM (ANALYZE)")


def _reads(
    server: Server,
    conn: Connection,
    names: list[str],
    moving: list[str],
    seconds: float,
) -> Sample:
    """Time reads until the answer is here; a job enters each queue of `moving` between two."""
    read = LAG.read_bytes()
    times_s: list[float] = []
    decoded_s: list[float] = []
    with tended(server, conn.info.dbname, names) as tender:
        meter = Meter(server, conn)
        before, reading_s = meter.read(), own_cpu_s(conn.info.backend_pid)
        ends_s = time.monotonic() + seconds
        while len(times_s) < READS and (len(times_s) < LEAST_READS or time.monotonic() < ends_s):
            time.sleep(PAUSE_S)
            with conn.transaction():
                for name in moving:
                    conn.execute(ENQUEUE_ONE, (name,))
            began_s = time.perf_counter()
            answer = conn.execute(read, {"queues": names}, prepare=True)
            times_s.append(time.perf_counter() - began_s)
            if len(answer.fetchall()) != len(names):
                raise RuntimeError(f"{answer.rowcount} of {len(names)} queues came back")
            decoded_s.append(time.perf_counter() - began_s)
        reading_s = own_cpu_s(conn.info.backend_pid) - reading_s
        after = meter.read()
    return {
        **waits_ms(times_s),
        "decoded_p50_ms": round(percentile(decoded_s, 0.5) * 1000, 3),
        # With what lets the queues move.
        "reader_cpu_ms": round(reading_s / len(times_s) * 1000, 2),
        "sweeps_cpu_ms_per_s": round(tender.cpu_ms_per_s, 1),
        "sweeps_per_s": round(tender.sweeps_per_s, 1),
        "foreign_load": foreign_load(before, after),
    }


def _accuracy(place: Site, seconds: float) -> Sample:
    """Compare the published count with an exact one while jobs come, go and are rolled back."""
    place.start_workers(1)
    await_first_job(place)
    place.conn.execute(ENQUEUE, (NAP_S, BACKLOG))
    meter, errors, ends_s = Meter(place.server, place.conn), [], time.monotonic() + seconds
    before = meter.read()
    stop = threading.Event()
    churn = threading.Thread(target=_churn, args=(place, stop))
    churn.start()
    try:
        while time.monotonic() < ends_s:
            time.sleep(EVERY_S)
            told, exact = place.conn.execute(TOLD_AND_EXACT).fetchone() or (0, 0)
            errors.append(abs(int(told) - int(exact)) / max(1, int(exact)) * 100)
    finally:
        stop.set()
        churn.join()
    return {
        "error_p50_percent": round(percentile(errors, 0.5), 3),
        "error_p99_percent": round(percentile(errors, 0.99), 3),
        "error_max_percent": round(max(errors), 3),
        "samples": len(errors),
        "foreign_load": foreign_load(before, meter.read()),
    }


def _churn(place: Site, stop: threading.Event) -> None:
    """Enqueue batches, and roll back a fifth of them."""
    chance = random.Random(7)  # noqa: S311
    with place.server.connect(place.database) as conn:
        while not stop.wait(BATCH / RATE_PER_S):
            with suppress(_RollBack), conn.transaction():
                conn.execute(ENQUEUE, (NAP_S, BATCH))
                if chance.random() < ROLLBACK_SHARE:
                    raise _RollBack


SCENARIO = Scenario(
    name="lag",
    summary="reads of the published lag: 1,000 queues, one of 10 million, accuracy under churn",
    cases=cases,
    measure=measure,
    with_rivals=False,
)
