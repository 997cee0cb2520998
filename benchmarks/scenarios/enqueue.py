"""Enqueue: durable inserts by one producer or more, without a worker, beside a raw INSERT.

The product takes COPY by itself for large batches. The raw table has the columns and indexes of the product's own, and nothing else.
"""

from collections.abc import Sequence

from benchmarks.errors import NotCompleted
from benchmarks.running import site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.server import Server
from benchmarks.span import MICROSECONDS, Meter, per_job
from benchmarks.systems import System, Tuning, raw

SINGLE_JOBS = 4_000
BATCHES = {"batch of 1,000": 1_000, "batch of 10,000": 10_000, "COPY of 10,000": 10_000}
KINDS = {
    "single": "single",
    "SQL function": "function",
    "batch of 1,000": "batch",
    "batch of 10,000": "batch",
    "COPY of 10,000": "copy",
}


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give every way that each system has, and the raw INSERT or COPY beside ours."""
    best = [one for one in systems if one.tuning is Tuning.BEST]
    everyone = [*best, raw.system()]
    return [
        Case(system=system, processes=count, variant=variant)
        for variant, kind in KINDS.items()
        for count in options.processes or (1,)
        for system in everyone
        if kind in system.enqueues
    ]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Let the producers enqueue at once; the rate is by the slowest one's clock."""
    system, kind = case.system, KINDS[case.variant]
    batch = BATCHES.get(case.variant, 1)
    jobs = options.jobs_of(SINGLE_JOBS if batch == 1 else system.enqueue_jobs)
    arguments = {"kind": kind, "count": jobs, "batch": batch}
    with site(server, system) as place:
        meter = Meter(server, place.conn)
        before = meter.read()
        started = [place.start_producer("enqueue", arguments) for _ in range(case.processes)]
        results = [place.result(*one) for one in started]
        spent = per_job(before, meter.read(), int(sum(one["all"] for one in results)))
        stored, expected = place.count(system.unfinished), sum(one["all"] for one in results)
        if stored != expected:
            raise NotCompleted(f"{system.name}: {stored} of {expected} jobs were stored")
    measured = sum(one["jobs"] for one in results)
    cpu_s = sum(one["cpu_s"] for one in results)
    return {
        "jobs_per_s": round(measured / max(one["seconds"] for one in results)),
        **spent,
        "client_cpu_us": round(cpu_s / measured * MICROSECONDS, 2),
        "jobs": measured,
    }


SCENARIO = Scenario(
    name="enqueue",
    summary="durable inserts per second: single, batches of 1,000, COPY; raw INSERT beside them",
    cases=cases,
    measure=measure,
)
