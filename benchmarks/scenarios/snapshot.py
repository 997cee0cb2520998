"""Held snapshot: two databases side by side under the same arrivals, one with an old transaction.

It holds a snapshot, or has written elsewhere, or has enqueued and does not commit before the end.
At some moments the arrivals stop and a burst is drained in each database in turn: the ratio of the
last bursts is the result. Beside the arrivals, transactions that hold an enqueue open measure how
late a straggler is found.
"""

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.bursts import burst
from benchmarks.running import Site, await_empty, await_first_job, site
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.server import Connection, Server
from benchmarks.span import Meter, foreign_load
from benchmarks.stragglers import ENQUEUE, Stragglers
from benchmarks.systems import OURS, System

SECONDS, RATE_PER_S = 600.0, 2_000.0
MARKS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
LAST_BURSTS = 3
MARK_S = 1.0  # instead of a time: marks the job of the transaction that enqueued
HOLD = {
    "snapshot": ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM pg_class"),
    "writer": ("CREATE TABLE IF NOT EXISTS held (n int)", "BEGIN", "INSERT INTO held VALUES (1)"),
    "enqueue": ("BEGIN", ENQUEUE.replace("%s", str(MARK_S))),
}
SIZE = "SELECT pg_database_size(current_database())"


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give the kinds of old transaction; those that write with one process, unless told."""
    return [
        Case(system=system, processes=count, variant=variant)
        for variant in HOLD
        for count in options.processes or ((1, 2, 4) if variant == "snapshot" else (1,))
        for system in systems
        if variant != "enqueue" or system.name == OURS
    ]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Run both sides for the whole time; give the rates of the last bursts, and all of them."""
    seconds = options.duration_s or SECONDS
    with ExitStack() as stack:
        held, control = [stack.enter_context(site(server, case.system)) for _ in range(2)]
        for place in (held, control):
            place.start_workers(case.processes)
            await_first_job(place)
        meter = Meter(server, held.conn)
        before = meter.read()
        holder = stack.enter_context(server.connect(held.database))
        for statement in HOLD[case.variant]:
            holder.execute(statement.encode())
        series, waits_s = _run(case, options, seconds, (held, control))
        after = meter.read()
        sizes = [place.count(SIZE) for place in (held, control)]
        if case.variant == "enqueue":
            waits_s["late_job_ms"] = _late_job_ms(held, holder)
        holder.close()
    last = series[-1]
    return {
        "jobs_per_s": last["held"],
        "control_jobs_per_s": last["control"],
        "ratio": round(last["ratio"], 3),
        **waits_s,
        "held_mb": round(sizes[0] / 2**20),
        "control_mb": round(sizes[1] / 2**20),
        "foreign_load": foreign_load(before, after),
        "series": series,
    }


def _run(
    case: Case, options: Options, seconds: float, places: tuple[Site, Site]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    rate_per_s, series = options.rate_per_s or RATE_PER_S, []
    latest: dict[str, float] = {}
    done = 0.0
    for part in MARKS:
        if part:
            length_s = part * seconds - done
            latest = _stream(case, places, rate_per_s, length_s, latest)
            done = part * seconds
        count = LAST_BURSTS if part == MARKS[-1] else 1
        series.append({"at_s": round(done), **_bursts(places, options.jobs, count)})
    return series, latest


def _stream(
    case: Case,
    places: tuple[Site, Site],
    rate_per_s: float,
    seconds: float,
    latest: dict[str, float],
) -> dict[str, float]:
    """Let arrivals flow on both sides; give the longest waits so far, in ms."""
    begun_s = time.time()
    flow = {"task": "stamp", "rate": rate_per_s, "seconds": seconds}
    started = [(place, place.start_producer("stream", flow)) for place in places]
    held, late = places[0], frozenset[float]()
    if case.system.name == OURS:
        with Stragglers(held) as stragglers:
            for place, one in started:
                place.result(*one)
        await_empty(held)
        found_s, late = stragglers.waits_s(held), stragglers.enqueued_at_s
        latest["straggler_ms"] = max([latest.get("straggler_ms", 0.0), *_in_ms(found_s)])
        latest["stragglers"] = latest.get("stragglers", 0.0) + len(found_s)
    else:
        for place, one in started:
            place.result(*one)
    for name, place in zip(("held", "control"), places, strict=True):
        await_empty(place)
        waits_s = [start - at for at, start in place.stamps() if at >= begun_s and at not in late]
        latest[f"{name}_wait_max_ms"] = max(
            [latest.get(f"{name}_wait_max_ms", 0.0), *_in_ms(waits_s)]
        )
    return latest


def _bursts(places: tuple[Site, Site], jobs: int | None, count: int) -> dict[str, float]:
    """Drain a burst on each side in turn, `count` times; the order changes each time."""
    rates: dict[str, list[float]] = {"held": [], "control": []}
    for number in range(count):
        pairs = list(zip(rates, places, strict=True))
        for name, place in pairs if number % 2 == 0 else reversed(pairs):
            rates[name].append(burst(place, jobs))
    held, control = (statistics.median(rates[name]) for name in ("held", "control"))
    return {"held": round(held), "control": round(control), "ratio": held / control}


def _late_job_ms(held: Site, holder: Connection) -> float:
    """Commit the enqueue that was open all the time; give how long its job waits then, in ms."""
    holder.execute("COMMIT")
    committed_s = time.time()
    await_empty(held)
    (wait_ms,) = _in_ms([start - committed_s for at, start in held.stamps() if at == MARK_S])
    return wait_ms


def _in_ms(waits_s: Sequence[float]) -> list[float]:
    return [round(wait_s * 1000, 1) for wait_s in waits_s]


SCENARIO = Scenario(
    name="snapshot",
    summary="rates beside a transaction held open for 10 minutes, against a control beside it",
    cases=cases,
    measure=measure,
    repeats=1,
)
