"""Pickup: from before a durable single enqueue to the start of its handler.

`idle`: one job each 25 ms or so, nothing else. `half`: beside a stream of half of what this system
sustains with its producer on the same machine, measured right before.
"""

import time
from collections.abc import Sequence

from benchmarks.errors import NotCompleted
from benchmarks.figures import waits_ms
from benchmarks.running import await_empty, await_first_job, site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.server import Server
from benchmarks.span import Meter, foreign_load
from benchmarks.systems import System

SECONDS, CALIBRATION_S, INTERVAL_MS = 20.0, 4.0, 25
ALL_IT_CAN_PER_S = 1e9


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give every system idle and under half load."""
    return [
        Case(system=system, processes=count, variant=variant)
        for variant in ("idle", "half load")
        for count in options.processes or (1,)
        for system in systems
    ]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Start the workers, let one job through, then probe."""
    seconds = options.duration_s or SECONDS
    rate_per_s = 0.0
    if case.variant != "idle":
        rate_per_s = options.rate_per_s or sustained_per_s(server, case) / 2
    with site(server, case.system) as place:
        place.start_workers(case.processes)
        await_first_job(place)
        meter = Meter(server, place.conn)
        begun_s, before = time.time(), meter.read()
        noise = None
        if rate_per_s:
            options_of_noise = {"task": "noop", "rate": rate_per_s, "seconds": seconds + 1}
            noise = place.start_producer("stream", options_of_noise)
        sent = place.produce("probe", {"seconds": seconds, "interval_ms": INTERVAL_MS})["jobs"]
        after = meter.read()
        if noise is not None:
            place.result(*noise)
        await_empty(place)
        waits_s = [start - at for at, start in place.stamps() if at >= begun_s]
        place.stop_workers()
    if len(waits_s) < sent:
        raise NotCompleted(f"{case.system.name}: {len(waits_s)} of {sent:g} probes ran")
    return {
        **waits_ms(waits_s),
        "stream_per_s": round(rate_per_s),
        "foreign_load": foreign_load(before, after),
    }


def sustained_per_s(server: Server, case: Case) -> float:
    """Give how many jobs a second pass through while the producer sends all it can."""
    with site(server, case.system) as place:
        place.start_workers(case.processes)
        await_first_job(place)
        flood = {"task": "noop", "rate": ALL_IT_CAN_PER_S, "seconds": CALIBRATION_S}
        sent = place.produce("stream", flood)
        done = sent["jobs"] - place.count(place.system.unfinished)
    return done / sent["seconds"]


SCENARIO = Scenario(
    name="latency",
    summary="from the enqueue to the handler's start, idle and under half load",
    cases=cases,
    measure=measure,
)
