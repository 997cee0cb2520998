"""Steady: a producer at a fixed rate that waits for nobody, and workers beside it."""

import time
from collections.abc import Sequence

from benchmarks.errors import NotCompleted
from benchmarks.figures import waits_ms
from benchmarks.running import await_empty, await_first_job, site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.server import Server
from benchmarks.span import MICROSECONDS, Meter, per_job
from benchmarks.systems import System

SECONDS = 20.0
RATES_PER_S = (500, 2_000, 10_000)


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give every system at every rate."""
    rates = (options.rate_per_s,) if options.rate_per_s else RATES_PER_S
    return [
        Case(system=system, processes=count, variant=f"{rate:g}/s")
        for rate in rates
        for count in options.processes or (1,)
        for system in systems
    ]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Send jobs for some seconds; count those completed in that time, and all waits."""
    seconds = options.duration_s or SECONDS
    rate_per_s = float(case.variant.removesuffix("/s"))
    with site(server, case.system) as place:
        place.start_workers(case.processes)
        await_first_job(place)
        meter = Meter(server, place.conn, [worker.pid for worker in place.workers])
        begun_s, before = time.time(), meter.read()
        flow = {"task": "stamp", "rate": rate_per_s, "seconds": seconds}
        sent = place.produce("stream", flow)
        left, after = place.count(place.system.unfinished), meter.read()
        await_empty(place)
        waits_s = [start - at for at, start in place.stamps() if at >= begun_s]
        place.stop_workers()
    jobs = int(sent["jobs"])
    if len(waits_s) < jobs:
        raise NotCompleted(f"{case.system.name}: {len(waits_s)} of {jobs} jobs ran")
    return {
        "jobs_per_s": round((jobs - left) / sent["seconds"]),
        **per_job(before, after, max(1, jobs - left)),
        "producer_cpu_us": round(sent["cpu_s"] / jobs * MICROSECONDS, 2),
        **waits_ms(waits_s),
        "backlog_at_end": left,
    }


SCENARIO = Scenario(
    name="steady",
    summary="a fixed rate of arrivals: what it costs, how long jobs wait",
    cases=cases,
    measure=measure,
)
