"""Procrastinate: batch and single defers, and workers by `run_worker_async`."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import procrastinate
import uvloop

from benchmarks.programs.handler import mark, stamps
from benchmarks.programs.producer import Payload, Producer, produce

POOL = int(os.environ.get("BENCH_POOL", "0"))
pool_options = {"min_size": POOL, "max_size": POOL} if POOL else {}
app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_DSN"], **pool_options)
)


@app.task(name="noop")
async def noop(n: float) -> None:  # noqa: ARG001  # the payload is decoded
    """Do nothing."""
    mark.call()


@app.task(name="stamp")
async def stamp(at: float) -> None:
    """Note how long this job waited."""
    stamps.add(at)


@asynccontextmanager
async def opened() -> AsyncIterator[Producer]:
    """Open the app."""
    tasks = {"noop": noop, "stamp": stamp}

    async def single(task: str, payload: Payload) -> object:
        return await tasks[task].defer_async(**payload)

    async def many(task: str, payloads: list[Payload]) -> object:
        return await tasks[task].batch_defer_async(*payloads)

    async with app.open_async():
        yield Producer(single=single, many=many)


async def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    match arguments:
        case ["install"]:
            async with app.open_async():
                await app.schema_manager.apply_schema_async()
        case ["work", "default"]:
            async with app.open_async():
                await app.run_worker_async()
        case ["work", concurrency]:
            async with app.open_async():
                await app.run_worker_async(concurrency=int(concurrency), delete_jobs="always")
        case _:
            await produce(opened, arguments)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
