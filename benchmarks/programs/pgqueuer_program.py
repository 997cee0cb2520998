"""PGQueuer: producers over asyncpg, and workers as its documentation writes them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvloop
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job

from benchmarks.programs.handler import mark, stamps
from benchmarks.programs.producer import Payload, Producer, produce

DSN = os.environ["BENCH_DSN"]


@asynccontextmanager
async def opened() -> AsyncIterator[Producer]:
    """Open a connection of its own."""
    conn = await asyncpg.connect(DSN)
    queries = Queries(AsyncpgDriver(conn))

    async def single(task: str, payload: Payload) -> object:
        return await queries.enqueue(task, encoded(payload))

    async def many(task: str, payloads: list[Payload]) -> object:
        size = len(payloads)
        return await queries.enqueue([task] * size, [encoded(p) for p in payloads], [0] * size)

    yield Producer(single=single, many=many)
    await conn.close()


def encoded(payload: Payload) -> bytes:
    """Write the payload's one number as text."""
    return repr(next(iter(payload.values()))).encode()


async def install() -> None:
    """Create the schema, with the autovacuum settings that it recommends."""
    conn = await asyncpg.connect(DSN)
    queries = Queries(AsyncpgDriver(conn))
    await queries.install()
    await queries.optimize_autovacuum()
    await conn.close()


async def work(batch_size: int, runners: int) -> None:
    """Run `runners` queue managers, each on a connection of its own, until SIGTERM."""
    queuers = []
    for _ in range(runners):
        queuer = PgQueuer(AsyncpgDriver(await asyncpg.connect(DSN)))
        register(queuer)
        queuers.append(queuer)
    loop = asyncio.get_running_loop()
    for queuer in queuers:
        queuer.qm.shutdown = queuers[0].qm.shutdown
        queuer.sm.shutdown = queuers[0].qm.shutdown
        queuer.shutdown = queuers[0].qm.shutdown
    loop.add_signal_handler(signal.SIGTERM, queuers[0].shutdown.set)
    await asyncio.gather(*[queuer.run(batch_size=batch_size) for queuer in queuers])


def register(queuer: PgQueuer) -> None:
    """Register both handlers."""

    @queuer.entrypoint("noop")
    async def noop(job: Job) -> None:
        int(job.payload or b"0")
        mark.call()

    @queuer.entrypoint("stamp")
    async def stamp(job: Job) -> None:
        stamps.add(float(job.payload or b"0"))


async def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    match arguments:
        case ["install"]:
            await install()
        case ["work", batch_size, runners]:
            await work(int(batch_size), int(runners))
        case _:
            await produce(opened, arguments)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
