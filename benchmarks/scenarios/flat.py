"""Flat claims: batches of 100 beside 10 million rows, and from an empty table, in turn.

A claim's worst hundredth is the sweeps, flushes and neighbours that it met: only claims of the same
moments compare.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.claims import measure_claims
from benchmarks.figures import waits_ms
from benchmarks.filled import DATABASE, filled_server
from benchmarks.scenario import Case, Options, Sample, Scenario
from benchmarks.server import Server
from benchmarks.span import Meter, foreign_load
from benchmarks.systems import System

SIZE, CLAIMS = 10_000_000, 3_000


@contextmanager
def opened(options: Options) -> Iterator[Server]:
    """Run the filled server."""
    with filled_server(options.size or SIZE) as server:
        yield server


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give each kind of company."""
    size = options.size or SIZE
    labels = [f"{size:,} ready", f"{size:,} scheduled", f"{size:,} of another queue"]
    return [Case(system=system, variant=label) for label in labels for system in systems]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Claim batches of 100 there and from the queue with nothing else, in turn; time them alone."""
    queues = (queue_of(case.variant), "empty")
    with server.connect(DATABASE) as conn:
        meter = Meter(server, conn)
        before = meter.read()
        count = options.jobs or CLAIMS
        claims, empty = asyncio.run(measure_claims(server.url(DATABASE), queues, count))
        after = meter.read()
    waits, empty_waits = waits_ms(claims.times_s), waits_ms(empty.times_s)
    return {
        **waits,
        "pages": round(claims.pages, 1),
        **{f"empty_{name}": empty_waits[name] for name in ("p50_ms", "p99_ms")},
        "empty_pages": round(empty.pages, 1),
        **{
            f"{name}_ratio": round(waits[f"{name}_ms"] / empty_waits[f"{name}_ms"], 3)
            for name in ("p50", "p99")
        },
        "foreign_load": foreign_load(before, after),
    }


def queue_of(variant: str) -> str:
    """Give the queue that a variant measures."""
    company = variant.partition(" ")[2]
    return {"ready": "ready", "scheduled": "due"}.get(company, "shared")


SCENARIO = Scenario(
    name="flat",
    summary="claims of 100 beside 10 million rows of three kinds, and on an empty table in turn",
    cases=cases,
    measure=measure,
    with_rivals=False,
    opened=opened,
)
