"""Enqueue: durable inserts by one producer or more, without a worker, beside a raw INSERT.

The raw table has the columns and indexes of the product's own, and nothing else.
"""

from collections.abc import Sequence

from benchmarks.errors import NotCompleted
from benchmarks.running import site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.server import Server
from benchmarks.span import MICROSECONDS, Meter, per_job
from benchmarks.systems import System, Tuning, raw

KINDS = ("single", "batch", "copy", "function")
SINGLE_JOBS = 4_000


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give every way that each system has, and the raw INSERT beside ours."""
    best = [one for one in systems if one.tuning is Tuning.BEST]
    everyone = [*best, raw.system()]
    return [
        Case(system=system, processes=count, variant=kind)
        for kind in KINDS
        for count in options.processes or (1,)
        for system in everyone
        if kind in system.enqueues
    ]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Let the producers enqueue at once; the rate is by the slowest one's clock."""
    system = case.system
    is_batch = case.variant in {"batch", "copy"}
    jobs = options.jobs or (system.enqueue_jobs if is_batch else SINGLE_JOBS)
    arguments = {"kind": case.variant, "count": jobs, "batch": system.batch}
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
