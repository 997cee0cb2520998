"""Lag reads: 1,000 queues at once, one of 10 million, and how right the count is under churn."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from benchmarks.figures import percentile, waits_ms
from benchmarks.filled import DATABASE, filled_server
from benchmarks.running import Site, await_first_job, site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.scenarios.flat import SIZE
from benchmarks.server import Connection, Server
from benchmarks.span import Meter, foreign_load
from benchmarks.systems import System

READS, LEAST_READS, READ_FOR_S, QUEUES = 300, 20, 30.0, 1_000
SECONDS, BACKLOG, RATE_PER_S, NAP_S, EVERY_S = 30.0, 20_000, 1_000.0, 0.08, 0.2
BATCH, ROLLBACK_SHARE = 50, 0.2
LAG = "SELECT * FROM queueworker.queue_lag(%s)"
EXACT = "SELECT count(*) FROM queueworker.job WHERE token = 0 AND pos IS NOT NULL"
ENQUEUE = """
    SELECT count(*) FROM queueworker.enqueue_many('bench', 'tracked', ARRAY(
      SELECT jsonb_build_object('at', 0, 'nap_s', %s::float8) FROM generate_series(1, %s)))
"""


class _RollBack(Exception):
    """Ends a transaction without its effect."""


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give the three questions."""
    size = options.size or SIZE
    variants = (f"{QUEUES:,} queues", f"one of {size:,}", "accuracy under churn")
    return [Case(system=system, variant=variant) for variant in variants for system in systems]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Ask the published function, as the operator does."""
    if case.variant.startswith("one of"):
        with filled_server(options.size or SIZE) as filled, filled.connect(DATABASE) as conn:
            return _reads(filled, conn, ["ready"], lambda _: None)
    with site(server, case.system) as place:
        if case.variant.endswith("queues"):
            names = [f"queue-{number}" for number in range(QUEUES)]
            for name in names:
                _enqueue_one(place.conn, name)
            place.conn.execute("ANALYZE")
            return _reads(server, place.conn, names, lambda n: _move(place.conn, names, n))
        return _accuracy(place, options.duration_s or SECONDS)


def _reads(
    server: Server, conn: Connection, names: list[str], between: Callable[[int], None]
) -> Sample:
    """Time reads; `between` them something may change."""
    meter, times_s = Meter(server, conn), []
    before, ends_s = meter.read(), time.monotonic() + READ_FOR_S
    for number in range(READS):
        if number >= LEAST_READS and time.monotonic() > ends_s:
            break
        between(number)
        began_s = time.perf_counter()
        rows = conn.execute(LAG, (names,), prepare=True).fetchall()
        times_s.append(time.perf_counter() - began_s)
        if len(rows) != len(names):
            raise RuntimeError(f"{len(rows)} of {len(names)} queues came back")
    return {**waits_ms(times_s), "foreign_load": foreign_load(before, meter.read())}


def _move(conn: Connection, names: list[str], number: int) -> None:
    """Let a tenth of the queues move before every tenth read."""
    if number % 10 == 0:
        for name in random.Random(number).sample(names, len(names) // 10):  # noqa: S311
            _enqueue_one(conn, name)


def _enqueue_one(conn: Connection, queue: str) -> None:
    conn.execute("SELECT queueworker.enqueue(%s, 'noop', '{\"n\": 1}')", (queue,))


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
            told = place.count("SELECT ready FROM queueworker.queue_lag(ARRAY['bench'])")
            exact = place.count(EXACT)
            errors.append(abs(told - exact) / max(1, exact) * 100)
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
