"""Flat claims: batches of 100 from queues with nothing else in them, and beside 10 million rows."""

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

SIZE, CLAIMS = 10_000_000, 1_000


@contextmanager
def opened(options: Options) -> Iterator[Server]:
    """Run the filled server."""
    with filled_server(options.size or SIZE) as server:
        yield server


def cases(systems: Sequence[System], options: Options) -> list[Case]:
    """Give the queue with nothing else first, then each kind of company."""
    size = options.size or SIZE
    labels = ["empty", f"{size:,} ready", f"{size:,} scheduled", f"{size:,} of another queue"]
    return [Case(system=system, variant=label) for label in labels for system in systems]


def measure(server: Server, case: Case, options: Options) -> Sample:
    """Claim and complete batches of 100; time the claims alone."""
    queue = queue_of(case.variant)
    with server.connect(DATABASE) as conn:
        meter = Meter(server, conn)
        before = meter.read()
        count = options.jobs or CLAIMS
        claims = asyncio.run(measure_claims(server.url(DATABASE), queue, count))
        after = meter.read()
    return {
        **waits_ms(claims.times_s),
        "pages": round(claims.pages, 1),
        "foreign_load": foreign_load(before, after),
    }


def queue_of(variant: str) -> str:
    """Give the queue that a variant measures."""
    company = variant.partition(" ")[2] or variant
    return {"empty": "empty", "ready": "ready", "scheduled": "due"}.get(company, "shared")


SCENARIO = Scenario(
    name="flat",
    summary="claims of 100 on an empty table and beside 10 million rows of three kinds",
    cases=cases,
    measure=measure,
    with_rivals=False,
    opened=opened,
)
