"""Producers of the product: `app.enqueue` and `app.enqueue_many` on the app's own connection."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.programs.producer import Payload, Producer, produce
from benchmarks.programs.queueworker_tasks import app


@asynccontextmanager
async def opened() -> AsyncIterator[Producer]:
    """Open the app."""

    async def single(task: str, payload: Payload) -> object:
        return await app.enqueue(app.tasks.get(task)(**payload))

    async def many(task: str, payloads: list[Payload]) -> object:
        call = app.tasks.get(task)
        return await app.enqueue_many([call(**payload) for payload in payloads])

    async with app:
        yield Producer(single=single, many=many)


if __name__ == "__main__":
    asyncio.run(produce(opened, sys.argv[1:]))
