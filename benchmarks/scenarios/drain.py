"""Drain: no-op jobs of a prefilled queue, from the first handler's start to the last completion.

The last completion is what SQL says: no unfinished row is left, seen by another connection.
"""

import time
from collections.abc import Sequence

from benchmarks.errors import NotCompleted
from benchmarks.running import Site, site
from benchmarks.scenario import Case, Options, Sample, Scenario, each_system
from benchmarks.server import Server
from benchmarks.span import Meter, per_job
from benchmarks.systems import System

STUCK_AFTER_S = 60.0
LEAST_POLL_S, MOST_POLL_S = 0.01, 1.0
CAUTION = 0.6  # sleep this share of the time that the rest will take


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give every system with 1, 2 and 4 processes."""
    return each_system(systems, options, processes=(1, 2, 4))


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Fill, start the workers, wait for the end."""
    system = case.system
    jobs = options.jobs_of(system.drain_jobs)
    with site(server, system) as place:
        filling = Meter(server, place.conn)
        before_fill = filling.read()
        place.produce("fill", {"count": jobs, "batch": system.batch})
        fill = per_job(before_fill, filling.read(), jobs)
        place.conn.execute("ANALYZE")
        place.start_workers(case.processes)
        started_s = place.first_start_s()
        meter = Meter(server, place.conn, [worker.pid for worker in place.workers])
        before = meter.read()
        finished_s = wait_until_finished(place, jobs, started_s)
        spent = per_job(before, meter.read(), jobs)
        place.stop_workers()
        place.check_calls(jobs)
    return {
        "jobs_per_s": round(jobs / (finished_s - started_s)),
        **spent,
        "wal_bytes": round(spent["wal_bytes"] + fill["wal_bytes"], 1),
        "run_wal_bytes": spent["wal_bytes"],
        "enqueue_wal_bytes": fill["wal_bytes"],
        "jobs": jobs,
        "seconds": round(finished_s - started_s, 3),
    }


def wait_until_finished(place: Site, jobs: int, started_s: float) -> float:
    """Give a time at which the last job was certainly completed, at most a poll too late."""
    last_left, progress_s = jobs, time.time()
    while True:
        asked_s = time.time()
        left = place.count(place.system.unfinished)
        if left == 0:
            return time.time()
        place.check_workers()
        if left < last_left:
            last_left, progress_s = left, asked_s
        elif asked_s - progress_s > STUCK_AFTER_S:
            raise NotCompleted(f"{place.system.name}: {left} of {jobs} jobs stay unfinished")
        rate_per_s = max(1.0, (jobs - left) / max(0.001, asked_s - started_s))
        time.sleep(min(MOST_POLL_S, max(LEAST_POLL_S, CAUTION * left / rate_per_s)))


SCENARIO = Scenario(
    name="drain",
    summary="no-op jobs of a prefilled queue, per second, and what each costs",
    cases=cases,
    measure=measure,
)
