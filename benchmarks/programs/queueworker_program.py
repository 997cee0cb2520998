"""Producers of the product: the app on its own connection, and its SQL function from outside."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from benchmarks.programs.producer import Payload, Producer, produce
from benchmarks.programs.queueworker_tasks import app

ENQUEUE = "SELECT queueworker.enqueue('bench', %s, %s::text::jsonb)"


@asynccontextmanager
async def opened() -> AsyncIterator[Producer]:
    """Open the app."""

    async def single(task: str, payload: Payload) -> object:
        return await app.enqueue(app.tasks.get(task)(**payload))

    async def many(task: str, payloads: list[Payload]) -> object:
        call = app.tasks.get(task)
        return await app.enqueue_many([call(**payload) for payload in payloads])

    async def function(task: str, payload: Payload) -> object:
        cursor = await conn.execute(ENQUEUE, (task, json.dumps(payload)), prepare=True)
        return await cursor.fetchone()

    dsn = os.environ["QUEUEWORKER_DSN"]
    async with app, await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        yield Producer(single=single, many=many, function=function)


if __name__ == "__main__":
    asyncio.run(produce(opened, sys.argv[1:]))
